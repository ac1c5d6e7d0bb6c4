// CIFAR-10's binary version (Krizhevsky 2009): records of one label byte and 3 x 32 x 32 bytes,
// plane by plane. Any number of records a file, any subset of the training batches.
//
// The label bytes stand between the images, so the files cannot be used where they lie: they are
// always read, never mapped.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "data/byte_stream.h"
#include "data/failure.h"
#include "data/named.h"
#include "data/reader.h"
#include "lockstep/data.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

constexpr size_t kPixels = 3 * 32 * 32;
constexpr size_t kRecord = 1 + kPixels;
constexpr int kClasses = 10;

std::vector<std::string> class_names() {
  return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
}

// Records in a plain file; the formats knows no header that would say it.
int64_t records_in(const MappedFile& file) {
  if (file.size() % kRecord != 0) {
    fail_at(file.path(), fmt::format("byte {}", file.size() / kRecord * kRecord),
            fmt::format("a record of {} bytes breaks off after {}", kRecord, file.size() % kRecord),
            "the file is truncated or not CIFAR-10's binary version: copy or download it again");
  }
  return static_cast<int64_t>(file.size() / kRecord);
}

// Copies the records of `file` to the rows at `out`.
void copy_records(const MappedFile& file, const OwnedFeatures& features, std::byte* out,
                  RawLabels& labels, const ReadContext& context) {
  constexpr int64_t kChunk = 256;  // records
  const int64_t records = records_in(file);
  PassedPages pages(file);
  for (int64_t begin = 0; begin < records; begin += kChunk) {
    const int64_t end = std::min(records, begin + kChunk);
    for (int64_t i = begin; i < end; ++i) {
      const std::byte* record = file.bytes().data() + i * kRecord;
      const auto label = std::to_integer<int32_t>(record[0]);
      if (label >= kClasses) {
        fail_at(file.path(), fmt::format("byte {}", i * kRecord),
                fmt::format("record {} has label {}, expected 0 to {}", i + 1, label, kClasses - 1),
                "the file is damaged or not CIFAR-10's binary version");
      }
      labels.codes.push_back(label);
      std::memcpy(out + i * kPixels, record + 1, kPixels);
    }
    if (context.digest) {
      context.digest->add({out + begin * kPixels, static_cast<size_t>(end - begin) * kPixels},
                          features.matrix.keep_alive);
    }
    pages.passed(end * kRecord);
  }
}

RawPart read_batches(const std::vector<std::string>& paths, const ReadContext& context) {
  std::vector<std::shared_ptr<MappedFile>> files;
  int64_t rows = 0;
  for (const std::string& path : paths) {
    files.push_back(MappedFile::open(path));
    rows += records_in(*files.back());
  }
  const OwnedFeatures features = allocate_features(paths[0], FeatureType::uint8, rows, kPixels);
  RawPart part{paths[0], features.matrix, nullptr, {}, ImageShape{3, 32, 32}};
  part.labels.path = paths[0];
  part.labels.names = class_names();
  part.labels.codes.reserve(rows);
  std::byte* out = features.data;
  for (const auto& file : files) {
    copy_records(*file, features, out, part.labels, context);
    out += records_in(*file) * kPixels;
  }
  check_columns(part, context);
  return part;
}

struct Batches {
  std::vector<std::string> train;
  std::string test;
};

Batches batches_in(const std::string& folder) {
  Batches batches;
  std::error_code ignored;
  for (int batch = 1; batch <= 5; ++batch) {
    const auto path = std::filesystem::path(folder) / fmt::format("data_batch_{}.bin", batch);
    if (std::filesystem::exists(path, ignored)) batches.train.push_back(path.string());
  }
  const auto test = std::filesystem::path(folder) / "test_batch.bin";
  if (std::filesystem::exists(test, ignored)) batches.test = test.string();
  return batches;
}

// A folder, the archive's own folder inside it, or one file of records.
Batches find_batches(const DataSpec& spec) {
  const auto folders = spec.paths.empty() ? data_folders("cifar10") : spec.paths;
  for (const std::string& folder : folders) {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(folder, ignored)) return {{folder}, ""};
    for (const std::string& place : {folder, folder + "/cifar-10-batches-bin"}) {
      Batches batches = batches_in(place);
      if (!batches.train.empty()) return batches;
    }
  }
  throw Error(ErrorKind::data,
              fmt::format("data set 'cifar10' is not there: looked in {} for data_batch_1.bin to "
                          "data_batch_5.bin and test_batch.bin",
                          fmt::join(folders, ", ")),
              "run `lockstep data fetch cifar10`, or name its folder: cifar10:FOLDER");
}

}  // namespace

RawData read_cifar10(const DataSpec& spec, const ReadContext& context) {
  const Batches batches = find_batches(spec);
  RawData data;
  data.class_names = class_names();
  data.schema.columns = kPixels;
  if (context.purpose != Purposes::train && !batches.test.empty()) {
    data.train = read_batches({batches.test}, context);
    data.label_note = "labels: the first byte of each record of " + batches.test;
    return data;
  }
  data.train = read_batches(batches.train, context);
  if (!batches.test.empty()) {
    ReadContext test_context = context;
    test_context.digest = nullptr;
    data.test = read_batches({batches.test}, test_context);
  }
  data.label_note =
      fmt::format("labels: the first byte of each record of {} training {} in {}",
                  batches.train.size(), batches.train.size() == 1 ? "batch" : "batches",
                  std::filesystem::path(batches.train[0]).parent_path().string());
  return data;
}

}  // namespace lockstep
