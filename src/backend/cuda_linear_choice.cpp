#include "backend/cuda_linear_choice.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "backend/cuda_linear_timer.h"

namespace lockstep {

namespace {

using ProductKey = std::tuple<LinearProduct, int64_t, int64_t>;

ProductKey key_of(const ProductChoice& choice) {
  return {choice.product, choice.inputs, choice.outputs};
}

// Calls visit(product, layer, activation below it) for each product of a step that differs from
// those before it. The first layer's inputs may have no gradient.
template <class Visit>
void for_each_product(const LinearNetwork& network, const Visit& visit) {
  std::map<ProductKey, bool> seen;
  Activation below = Activation::none;
  for (const LinearLayer& layer : network.layers) {
    for (const LinearProduct product :
         {LinearProduct::forward, LinearProduct::input_gradient, LinearProduct::weight_gradient}) {
      const bool first = &layer == &network.layers.front();
      if (first && !network.input_gradient && product == LinearProduct::input_gradient) continue;
      if (!seen.emplace(ProductKey{product, layer.inputs, layer.outputs}, true).second) continue;
      visit(product, layer, below);
    }
    below = layer.activation;
  }
}

ProductChoice choice_of(LinearProduct product, const LinearLayer& layer, int batch, Gemm gemm) {
  ProductChoice choice;
  choice.product = product;
  choice.batch = batch;
  choice.inputs = layer.inputs;
  choice.outputs = layer.outputs;
  choice.gemm = gemm;
  return choice;
}

std::vector<ProductChoice> all_by(Gemm gemm, const LinearNetwork& network, int batch) {
  std::vector<ProductChoice> products;
  for_each_product(network, [&](LinearProduct product, const LinearLayer& layer, Activation) {
    products.push_back(choice_of(product, layer, batch, gemm));
  });
  return products;
}

class MixedLinear final : public LinearOps {
 public:
  MixedLinear(std::unique_ptr<LinearOps> own, std::unique_ptr<LinearOps> cublas,
              const std::vector<ProductChoice>& products)
      : own_(std::move(own)), cublas_(std::move(cublas)) {
    for (const ProductChoice& choice : products) {
      by_[key_of(choice)] = choice.gemm == Gemm::cublas ? cublas_.get() : own_.get();
    }
  }

  void prepare(int rows, cudaStream_t stream) override {
    own_->prepare(rows, stream);
    cublas_->prepare(rows, stream);
  }
  void begin_step() override {
    own_->begin_step();
    cublas_->begin_step();
  }
  void forward(LinearForward pass, cudaStream_t stream) override {
    by_.at({LinearProduct::forward, pass.inputs, pass.outputs})->forward(pass, stream);
  }
  void backward_input(LinearBackwardInput pass, cudaStream_t stream) override {
    by_.at({LinearProduct::input_gradient, pass.inputs, pass.outputs})
        ->backward_input(pass, stream);
  }
  void backward_weight(LinearBackwardWeight pass, cudaStream_t stream) override {
    by_.at({LinearProduct::weight_gradient, pass.inputs, pass.outputs})
        ->backward_weight(pass, stream);
  }

 private:
  std::unique_ptr<LinearOps> own_, cublas_;
  std::map<ProductKey, LinearOps*> by_;
};

}  // namespace

std::vector<ProductChoice> measure_products(const LinearNetwork& network, int batch, LinearOps& own,
                                            LinearOps& cublas) {
  LinearTimer timer(network, batch);
  own.prepare(batch, timer.stream());
  cublas.prepare(batch, timer.stream());
  std::vector<ProductChoice> products;
  for_each_product(network, [&](LinearProduct product, const LinearLayer& layer, Activation below) {
    ProductChoice choice = choice_of(product, layer, batch, Gemm::own);
    const auto [by_own, by_cublas] = timer.seconds(product, layer, below, own, cublas);
    choice.own_seconds = by_own;
    choice.cublas_seconds = by_cublas;
    if (by_cublas < by_own) choice.gemm = Gemm::cublas;
    products.push_back(choice);
  });
  return products;
}

std::unique_ptr<LinearOps> make_mixed_linear(std::unique_ptr<LinearOps> own,
                                             std::unique_ptr<LinearOps> cublas,
                                             const std::vector<ProductChoice>& products) {
  return std::make_unique<MixedLinear>(std::move(own), std::move(cublas), products);
}

ChosenLinear choose_linear(const LinearNetwork& network, Gemm gemm, int batch) {
  switch (gemm) {
    case Gemm::own: return {make_own_linear(network), all_by(gemm, network, batch)};
    case Gemm::cublas: return {make_cublas_linear(network), all_by(gemm, network, batch)};
    case Gemm::automatic: break;
  }
  auto own = make_own_linear(network);
  auto cublas = make_cublas_linear(network);
  const std::vector<ProductChoice> products = measure_products(network, batch, *own, *cublas);
  return {make_mixed_linear(std::move(own), std::move(cublas), products), products};
}

}  // namespace lockstep
