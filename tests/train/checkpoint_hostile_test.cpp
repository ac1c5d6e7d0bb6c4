// Files that claim what they do not hold: each is refused by an error that names the file and the
// place in it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "lockstep/checkpoint.h"
#include "lockstep/error.h"
#include "train/checkpoint_fixture.h"

namespace lockstep {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

std::string assemble(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + data;
}

class HostileCheckpoint : public testing::Test {
 protected:
  HostileCheckpoint() {
    save_checkpoint(path_, training_state());
    valid_ = read_bytes(path_);
    uint64_t length = 0;
    std::memcpy(&length, valid_.data(), sizeof length);
    header_ = Json::parse(valid_.substr(8, length));
    data_ = valid_.substr(8 + length);
  }

  void expect_refused(const std::string& bytes, const std::string& text) {
    write_bytes(path_, bytes);
    try {
      load_checkpoint(path_);
      ADD_FAILURE() << "expected an error with '" << text << "'";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data);
      EXPECT_THAT(error.what(), HasSubstr(text));
      EXPECT_THAT(error.what(), HasSubstr(path_));
      EXPECT_FALSE(error.remedy().empty()) << error.what();
      EXPECT_LT(std::strlen(error.what()), 1000u);
    }
  }

  void expect_header_refused(const std::function<void(Json&)>& change, const std::string& text) {
    Json header = header_;
    change(header);
    expect_refused(assemble(header.dump(), data_), text);
  }

  void expect_metadata_refused(const std::function<void(Json&)>& change, const std::string& text) {
    Json metadata = Json::parse(header_["__metadata__"]["lockstep"].get<std::string>());
    change(metadata);
    expect_metadata_text_refused(metadata.dump(), text);
  }

  void expect_metadata_text_refused(const std::string& metadata, const std::string& text) {
    expect_header_refused([&](Json& header) { header["__metadata__"]["lockstep"] = metadata; },
                          text);
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.file("hostile.safetensors");
  std::string valid_;
  Json header_;
  std::string data_;
};

TEST_F(HostileCheckpoint, ReassembledFileIsStillValid) {
  write_bytes(path_, assemble(header_.dump(), data_));
  EXPECT_EQ(load_checkpoint(path_).state_count, 2);
}

TEST_F(HostileCheckpoint, MissingFolderAndPipe) {
  EXPECT_THROW(load_checkpoint(folder_.file("none")), Error);
  EXPECT_THROW(load_checkpoint(folder_.path().string()), Error);
  ASSERT_EQ(::mkfifo(folder_.file("pipe").c_str(), 0600), 0);
  EXPECT_THROW(load_checkpoint(folder_.file("pipe")), Error);  // and does not hang
}

TEST_F(HostileCheckpoint, TruncatedAnywhere) {
  expect_refused("", "has 0 bytes");
  for (const size_t size : {size_t{1}, size_t{7}, size_t{8}, size_t{9}, size_t{500},
                            valid_.size() - data_.size(), valid_.size() - 1}) {
    expect_refused(valid_.substr(0, size), "");
  }
  expect_refused(valid_ + "x", "1 bytes after the last tensor");
}

TEST_F(HostileCheckpoint, HeaderLengthBeyondTheFile) {
  std::string bytes = valid_;
  std::memset(bytes.data(), 0xff, 8);
  expect_refused(bytes, "claim a header of 18446744073709551615 bytes");
  expect_refused(std::string("PK\3\4 this is a zip file, not a checkpoint"), "claim a header of");
}

TEST_F(HostileCheckpoint, HeaderThatIsNoJsonObject) {
  expect_refused(assemble("{\"a\":", ""), "the header is not valid JSON: ");
  expect_refused(assemble("", ""), "not valid JSON");
  expect_refused(assemble("[1, 2]", ""), "not a JSON object");
  expect_refused(assemble("{\"a\":\"\xff\"}", ""), "not valid JSON");
  expect_refused(assemble(std::string(1'000'000, '['), ""), "nested too deeply");
}

TEST_F(HostileCheckpoint, OffsetsOutOfRangeOverlappingOrWithGaps) {
  const auto offsets = [](Json begin, Json end) {
    return [=](Json& header) {
      header["layers.0.bias"]["data_offsets"] = Json::array({begin, end});
    };
  };
  expect_header_refused(offsets(120, uint64_t{1} << 60), "do not lie in the file");
  expect_header_refused(offsets(140, 120), "do not lie in the file");
  expect_header_refused(offsets(-4, 16), "whole numbers");
  expect_header_refused(offsets(120.0, 140.0), "whole numbers");
  expect_header_refused(offsets("120", "140"), "whole numbers");
  expect_header_refused(offsets(nullptr, 140), "whole numbers");
  expect_header_refused(offsets(124, 144), "starts at byte");
  expect_header_refused(offsets(0, 20), "starts at byte");
  expect_header_refused([](Json& header) { header["layers.0.bias"]["data_offsets"] = {1}; },
                        "two data_offsets");
  expect_header_refused([](Json& header) { header["layers.0.bias"] = 3; }, "expected an object");
}

TEST_F(HostileCheckpoint, TypesAndShapesThatDoNotFit) {
  const auto shape = [](Json value) {
    return [=](Json& header) { header["layers.0.weight"]["shape"] = value; };
  };
  expect_header_refused(shape({6, 5}), "'layers.0.weight' has shape [6,5], expected [5,6]");
  expect_header_refused(shape({30}), "expected [5,6]");
  expect_header_refused(shape({5, 7}), "bytes do not hold");
  expect_header_refused(shape({uint64_t{1} << 33, uint64_t{1} << 33}), "bytes do not hold");
  expect_header_refused(shape({0, 6}), "bytes do not hold");
  expect_header_refused(shape({-5, -6}), "whole numbers");
  expect_header_refused([](Json& header) { header["layers.0.weight"]["dtype"] = "I32"; },
                        "has dtype I32, expected F32");
  expect_header_refused([](Json& header) { header["layers.0.weight"]["dtype"] = "F64"; },
                        "bytes do not hold");
  expect_header_refused([](Json& header) { header["layers.0.weight"]["dtype"] = "\x1b[2J"; },
                        "dtype \"\\u001b[2J\" is not known");
}

TEST_F(HostileCheckpoint, MissingTensors) {
  const auto rename = [](const char* name) {
    return [=](Json& header) {
      header["other"] = header[name];
      header.erase(name);
    };
  };
  expect_header_refused(rename("layers.2.bias"), "tensor 'layers.2.bias' is missing");
  expect_header_refused(rename("optimizer.mean.layers.2.bias"), "'optimizer.mean.layers.2.bias'");
  expect_header_refused(rename("best.layers.2.bias"), "'best.layers.2.bias' is missing");
}

TEST_F(HostileCheckpoint, WeightsThatAreNotFinite) {
  std::string bytes = valid_;
  const float nan = std::nanf("");
  std::memcpy(&bytes[bytes.size() - data_.size() + 8], &nan, sizeof nan);
  expect_refused(bytes, "tensor 'layers.0.weight', element 2 is not finite");
}

TEST_F(HostileCheckpoint, MetadataThatIsMissingOrNoJson) {
  expect_header_refused([](Json& header) { header.erase("__metadata__"); }, "lacks 'lockstep'");
  expect_header_refused(
      [](Json& header) {
        header["__metadata__"] = {{"format", "pt"}};
      },
      "lacks 'lockstep'");
  expect_header_refused([](Json& header) { header["__metadata__"] = 1; }, "not an object");
  expect_header_refused(
      [](Json& header) {
        header["__metadata__"]["lockstep"] = {{"a", 1}};
      },
      "not a string");
  expect_metadata_text_refused("", "lockstep metadata is not valid JSON");
  expect_metadata_text_refused("[]", "lockstep metadata is not an object");
  expect_metadata_text_refused(std::string(100'000, '['), "nested too deeply");
}

TEST_F(HostileCheckpoint, NumbersThatAreNotFiniteOrNotWhole) {
  expect_metadata_refused([](Json& m) { m["position"]["epoch_loss"] = nullptr; },
                          "position.epoch_loss is not a finite number");
  const std::string text = header_["__metadata__"]["lockstep"].get<std::string>();
  for (const std::string number : {"NaN", "Infinity", "1e999"}) {
    std::string changed = text;
    changed.replace(changed.find("0.30000000000000004"), 19, number);
    expect_metadata_text_refused(changed, "not valid JSON");
  }
  expect_metadata_refused([](Json& m) { m["normalization"]["scale"][1] = 1e300; },
                          "normalization.scale[1] does not fit a 32-bit float");
  expect_metadata_refused([](Json& m) { m["position"]["step"] = 1.5; },
                          "position.step is not a whole");
  expect_metadata_refused([](Json& m) { m["position"]["step"] = -1; },
                          "position.step is not a whole");
  expect_metadata_refused([](Json& m) { m["position"]["step"] = uint64_t{1} << 63; },
                          "position.step is not a whole");
  expect_metadata_refused([](Json& m) { m["seed"] = -1; }, "seed is not a whole");
}

TEST_F(HostileCheckpoint, MetadataThatContradictsItself) {
  expect_metadata_refused([](Json& m) { m["format"] = 2; }, "newer version");
  expect_metadata_refused([](Json& m) { m.erase("model"); }, "lacks 'model'");
  expect_metadata_refused([](Json& m) { m["model"]["layers"][2]["inputs"] = 9; },
                          "model: layer 2: 9 inputs follow 5 outputs");
  expect_metadata_refused([](Json& m) { m["model"]["layers"][0]["outputs"] = uint64_t{1} << 40; },
                          "model.layers[0].outputs is not a whole number");
  expect_metadata_refused(
      [](Json& m) {
        for (int i : {0, 2}) m["model"]["layers"][i]["outputs"] = 2147483647;
        for (int i : {2, 4}) m["model"]["layers"][i]["inputs"] = 2147483647;
      },
      "more than 2^40 parameters");
  expect_metadata_refused([](Json& m) { m["model"]["layers"] = Json::array(); }, "no layer");
  expect_metadata_refused([](Json& m) { m["model"]["layers"][0]["type"] = "conv9d"; },
                          "layers[0].type is not a layer");
  expect_metadata_refused([](Json& m) { m["model"]["layers"][1]["p"] = 1.0; }, "not in [0, 1)");
  expect_metadata_refused([](Json& m) { m["model"]["loss"] = "hinge"; },
                          "model.loss is not a name");
  expect_metadata_refused([](Json& m) { m["model"]["classes"] = 4; }, "3 outputs for 4 classes");
  expect_metadata_refused([](Json& m) { m["model"]["loss"] = "binary_cross_entropy"; },
                          "binary cross-entropy needs 1 output");
  expect_metadata_refused([](Json& m) { m["class_names"].push_back("x"); }, "4 class_names");
  expect_metadata_refused([](Json& m) { m["class_names"][0] = Json::array({256}); },
                          "class_names[0][0] is not a whole number");
  expect_metadata_refused([](Json& m) { m["normalization"]["scale"].push_back(1.0); }, "7 scales");
  expect_metadata_refused([](Json& m) { m["image"]["height"] = 2147483647; }, "image");
  expect_metadata_refused([](Json& m) { m["optimizer"]["kind"] = "lion"; }, "kind is not known");
  expect_metadata_refused([](Json& m) { m["optimizer"]["state_count"] = 1; }, "state_count of 1");
  expect_metadata_refused([](Json& m) { m["optimizer"]["state_count"] = 1000000; },
                          "optimizer.state_count is not a whole");
  expect_metadata_refused([](Json& m) { m["config"] = 1; }, "config is not an object");
  expect_metadata_refused([](Json& m) { m["history"] = 1; }, "history is not an array");
}

}  // namespace
}  // namespace lockstep
