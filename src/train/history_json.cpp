#include "train/history_json.h"

#include <nlohmann/json.hpp>

namespace lockstep {

using nlohmann::json;

json history_to_json(const std::vector<EpochRecord>& epochs) {
  json array = json::array();
  for (const EpochRecord& record : epochs) {
    json object = {{"epoch", record.epoch},
                   {"lr", record.learning_rate},
                   {"train_loss", record.train_loss},
                   {"train_accuracy", record.train_accuracy},
                   {"test_loss", nullptr},
                   {"test_accuracy", nullptr},
                   {"seconds", record.seconds}};
    if (record.test) {
      object["test_loss"] = record.test->loss;
      object["test_accuracy"] = record.test->accuracy;
    }
    array.push_back(std::move(object));
  }
  return array;
}

std::vector<EpochRecord> history_from_json(const json& array) {
  std::vector<EpochRecord> epochs;
  for (const json& object : array) {
    EpochRecord record;
    record.epoch = object.at("epoch").get<int64_t>();
    record.learning_rate = object.at("lr").get<double>();
    record.train_loss = object.at("train_loss").get<double>();
    record.train_accuracy = object.at("train_accuracy").get<double>();
    record.seconds = object.at("seconds").get<double>();
    if (!object.at("test_loss").is_null()) {
      record.test = Evaluation{object.at("test_loss").get<double>(),
                               object.at("test_accuracy").get<double>()};
    }
    epochs.push_back(record);
  }
  return epochs;
}

}  // namespace lockstep
