#include "backend/conv_plan.h"

#include <string>

#include "lockstep/error.h"

namespace lockstep {
namespace {

// A panel's offsets are 32 bits.
constexpr int64_t kMostFeatures = int64_t{1} << 26;

[[noreturn]] void refuse(const std::string& what, const std::string& remedy) {
  throw Error(ErrorKind::usage, "the CPU backend cannot run this model: " + what, remedy);
}

void check_size(size_t layer, const ImageShape& shape) {
  if (shape.size() <= kMostFeatures) return;
  refuse("layer " + std::to_string(layer) + " has an image of " + std::to_string(shape.size()) +
             " values; at most " + std::to_string(kMostFeatures) + " are supported",
         "use smaller images or fewer channels");
}

class Planner {
 public:
  // Adds layer `index`; false for the first that is not of the images' part.
  bool add(size_t index, const Layer& layer) {
    const int number = static_cast<int>(index);
    if (const auto* conv = std::get_if<Conv2d>(&layer)) {
      check_size(index, conv->input);
      check_size(index, conv->output());
      plan_.images.push_back({number, *conv, {}, {}});
    } else if (const auto* pool = std::get_if<Pool2d>(&layer)) {
      check_size(index, pool->input);
      add_pool(*pool);
    } else if (const auto* dropout = std::get_if<Dropout>(&layer)) {
      add_dropout(number, dropout->p);
    } else if (!std::holds_alternative<Flatten>(layer)) {
      return false;
    }
    return true;
  }

  ConvPlan take() { return std::move(plan_); }

 private:
  void add_pool(const Pool2d& pool) {
    const bool fits = pool.kind == PoolKind::max && pool.kernel == pool.stride && pool.kernel <= 15;
    if (fits && !plan_.images.empty()) {
      ImageStage& last = plan_.images.back();
      if (last.conv && !last.pool && !last.dropout.present()) {
        last.pool = pool;
        return;
      }
    }
    plan_.images.push_back({-1, {}, pool, {}});
  }

  void add_dropout(int layer, double p) {
    if (p <= 0.0) return;
    DropoutSpec& place = plan_.images.empty() ? plan_.input_dropout : plan_.images.back().dropout;
    if (place.present()) {
      refuse("layer " + std::to_string(layer) + " is a second dropout in a row",
             "give one probability");
    }
    place = {layer, p};
  }

  ConvPlan plan_;
};

}  // namespace

ImageShape ImageStage::computed() const {
  ImageShape shape = conv->output();
  if (pool) {
    shape.height = pool->output().height * pool->kernel;
    shape.width = pool->output().width * pool->kernel;
  }
  return shape;
}

ConvPlan plan_conv(const Model& model) {
  Planner planner;
  size_t next = 0;
  while (next < model.layers.size() && planner.add(next, model.layers[next])) ++next;
  ConvPlan plan = planner.take();
  plan.linear = plan_linear(model, next, plan.images.back().output().size());
  return plan;
}

}  // namespace lockstep
