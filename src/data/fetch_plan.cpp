#include "data/fetch_plan.h"

#include <fmt/format.h>

#include "lockstep/error.h"

namespace lockstep {
namespace {

constexpr int64_t kMegabyte = 1'000'000;

// The files are published at several places, which compressed them differently: what is checked is
// their content (MD5 of the unpacked training images: 6bbc9ace898e44ae57da46a324031adb).
FetchPlan mnist() {
  const auto file = [](const char* name, uint64_t size, const char* sha256) {
    return FetchFile{name, {Checksum::Kind::sha256_of_content, sha256, size}, 20 * kMegabyte, {}};
  };
  return {"mnist",
          {"https://ossci-datasets.s3.amazonaws.com/mnist",
           "https://storage.googleapis.com/cvdf-datasets/mnist"},
          {file("train-images-idx3-ubyte.gz", 47'040'016,
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
           file("train-labels-idx1-ubyte.gz", 60'008,
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
           file("t10k-images-idx3-ubyte.gz", 7'840'016,
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
           file("t10k-labels-idx1-ubyte.gz", 10'008,
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2")}};
}

// The archive's MD5 as published by its author.
FetchPlan cifar10() {
  constexpr uint64_t kBatchBytes = 10'000 * 3073;
  FetchFile archive{"cifar-10-binary.tar.gz",
                    {Checksum::Kind::md5_of_file, "c32a1d4ab5d03f1284b67883e8d87530"},
                    200 * kMegabyte,
                    {}};
  for (int batch = 1; batch <= 5; ++batch) {
    const std::string name = fmt::format("data_batch_{}.bin", batch);
    archive.members.push_back({name, kBatchBytes, name});
  }
  archive.members.push_back({"test_batch.bin", kBatchBytes, "test_batch.bin"});
  return {"cifar10",
          {"https://www.cs.toronto.edu/~kriz",
           "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10"},
          {archive}};
}

}  // namespace

FetchPlan fetch_plan(const std::string& name) {
  if (name == "mnist") return mnist();
  if (name == "cifar10") return cifar10();
  throw Error(
      ErrorKind::usage, fmt::format("unknown data set '{}'", name),
      name == "digits" ? "digits is built in: --data digits" : "use one of: mnist, cifar10");
}

}  // namespace lockstep
