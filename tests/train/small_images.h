// A small job on images, for convolutional networks and augmentation.
#pragma once

#include <string>

#include "lockstep/data.h"
#include "small_job.h"

namespace lockstep::testing {

// Clusters, taken for images of two channels.
inline const Dataset& small_images() {
  static const Dataset dataset = [] {
    Dataset images = make_dataset(150, 2 * 8 * 9);
    images.image = ImageShape{2, 8, 9};
    return images;
  }();
  return dataset;
}

inline Config small_image_config() {
  Config config = small_config();
  config.epochs = 2;
  config.optimizer.learning_rate = 0.02;
  config.optimizer.momentum = 0.9;
  config.data.augment = "flip,crop:2";
  config.model.layers =
      "conv 6 3, relu, maxpool 2, dropout 0.1, conv 5 2 pad 1, relu, flatten, linear 12, relu, "
      "linear 4";
  return config;
}

inline TrainedModel train_images(const Change& change, const Checkpoint* resume = nullptr) {
  const Dataset& dataset = small_images();
  Config config = small_image_config();
  change(config);
  const Model model = make_model(config.model, dataset.features(), dataset.classes, dataset.image);
  return train(resolve(config, dataset.train.size()), dataset, model, {}, nullptr, resume);
}

}  // namespace lockstep::testing
