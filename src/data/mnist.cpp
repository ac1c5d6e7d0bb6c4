// MNIST: four IDX files, as LeCun, Cortes and Burges published them.
#include <fmt/format.h>

#include <future>

#include "data/failure.h"
#include "data/idx.h"
#include "data/named.h"
#include "data/reader.h"

namespace lockstep {
namespace {

RawPart read_part(const std::string& folder, const std::string& prefix,
                  const ReadContext& context) {
  RawPart part = read_idx_features(plain_or_gz(folder, prefix + "-images-idx3-ubyte"), context);
  const std::string labels = plain_or_gz(folder, prefix + "-labels-idx1-ubyte");
  part.labels = read_idx_labels(labels, part, context);
  if (part.features.type != FeatureType::uint8) {
    fail_at(part.path, "byte 2", "expected images of unsigned bytes",
            "this is not MNIST's file: run `lockstep data fetch mnist`, or use idx:IMAGES,LABELS");
  }
  return part;
}

}  // namespace

// Both parts are decompressed at once: inflating them is what the load costs.
RawData read_mnist(const DataSpec& spec, const ReadContext& context) {
  const std::string folder = find_named_set(spec, "mnist",
                                            {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                             "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"});
  RawData data;
  for (int digit = 0; digit < 10; ++digit) data.class_names.push_back(fmt::format("{}", digit));
  if (context.purpose == Purposes::train) {
    ReadContext test_context = context;
    test_context.digest = nullptr;
    auto test =
        std::async(std::launch::async, [&] { return read_part(folder, "t10k", test_context); });
    data.train = read_part(folder, "train", context);
    data.test = test.get();
    data.label_note = "labels: digits, from the label files of " + folder;
    test_context.schema.emplace().columns = data.train.features.columns;
    check_columns(*data.test, test_context);
  } else {
    data.train = read_part(folder, "t10k", context);
    data.label_note = "labels: digits, from the test part in " + folder;
  }
  data.schema.columns = data.train.features.columns;
  return data;
}

}  // namespace lockstep
