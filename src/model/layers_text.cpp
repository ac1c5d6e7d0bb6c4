// Networks described by a line of text.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "lockstep/error.h"
#include "lockstep/model.h"
#include "model/check_model.h"
#include "model/make_model.h"

namespace lockstep {
namespace {

constexpr const char* kForms =
    "the layers are: conv CHANNELS KERNEL [stride S] [pad P], maxpool KERNEL [stride S], "
    "avgpool KERNEL [stride S], flatten, linear OUTPUTS, relu, dropout P";

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (const std::string_view word : split(text, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

// The layer that a part of the text stands for, while its words are read.
class LayerText {
 public:
  // `option` is what the user gave: errors start with it.
  LayerText(const std::string& option, size_t index, std::string_view text)
      : option_(option), index_(index), words_(words_of(text)) {}

  bool empty() const { return words_.empty(); }
  std::string_view name() const { return words_[0]; }

  [[noreturn]] void fail(const std::string& problem, const std::string& remedy = kForms) const {
    throw Error(ErrorKind::usage,
                fmt::format("{}: layer {} ('{}'): {}", option_, index_ + 1,
                            fmt::join(words_.begin(), words_.end(), " "), problem),
                remedy);
  }

  // The word at `at` as a number in [low, kMaxWidth]; `what` it is.
  int64_t number(size_t at, const char* what, int64_t low = 1) const {
    if (at >= words_.size()) fail(fmt::format("{} is missing", what));
    return number(words_[at], what, low);
  }

  int64_t number(std::string_view word, const char* what, int64_t low) const {
    int64_t value = 0;
    const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (status != std::errc() || end != word.data() + word.size()) {
      fail(fmt::format("{} '{}' is not a whole number", what, word));
    }
    if (value < low || value > kMaxWidth) {
      fail(fmt::format("{} {} is not between {} and {}", what, value, low, kMaxWidth));
    }
    return value;
  }

  double probability(size_t at) const {
    if (at >= words_.size()) fail("the probability is missing");
    double value = 0.0;
    const std::string_view word = words_[at];
    const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (status != std::errc() || end != word.data() + word.size() ||
        !(value >= 0.0 && value < 1.0)) {
      fail(fmt::format("probability '{}' is not in [0, 1)", word));
    }
    return value;
  }

  std::string_view word(size_t at, const char* what) const {
    if (at >= words_.size()) fail(fmt::format("{} is missing", what));
    return words_[at];
  }

  // The value of "NAME VALUE" behind the first `fixed` words, or `otherwise`.
  int64_t named(size_t fixed, std::string_view name, int64_t low, int64_t otherwise) const {
    for (size_t at = fixed; at < words_.size(); at += 2) {
      if (words_[at] == name) return number(at + 1, "the number behind it", low);
    }
    return otherwise;
  }

  // Only `names`, each with a value and once, stand behind the first `fixed` words.
  void expect_only(size_t fixed, std::initializer_list<std::string_view> names) const {
    std::vector<std::string_view> seen;
    for (size_t at = fixed; at < words_.size(); at += 2) {
      const bool known = std::find(names.begin(), names.end(), words_[at]) != names.end();
      if (!known) fail(fmt::format("'{}' is too much", words_[at]));
      if (std::find(seen.begin(), seen.end(), words_[at]) != seen.end()) {
        fail(fmt::format("'{}' is given twice", words_[at]));
      }
      seen.push_back(words_[at]);
    }
  }

 private:
  const std::string& option_;
  size_t index_;
  std::vector<std::string_view> words_;
};

std::string size_text(const ImageShape& shape) {
  return fmt::format("{} x {} x {}", shape.channels, shape.height, shape.width);
}

// Adds layers one after the other and knows the shape in front of the next.
class Builder {
 public:
  Builder(const std::optional<ImageShape>& image, int64_t inputs) : image_(image), width_(inputs) {}

  void add(const LayerText& text) {
    const std::string_view name = text.name();
    if (name == "conv") return add_conv(text);
    if (name == "maxpool") return add_pool(text, PoolKind::max);
    if (name == "avgpool") return add_pool(text, PoolKind::average);
    if (name == "flatten") return add_flatten(text);
    if (name == "linear") return add_linear(text);
    if (name == "relu") return add_relu(text);
    if (name == "dropout") return add_dropout(text);
    text.fail("there is no such layer");
  }

  std::vector<Layer> take() { return std::move(layers_); }
  int64_t width() const { return width_; }
  // Is the output an image?
  bool spatial() const { return !flat_ && image_.has_value() && sees_image_; }

 private:
  const ImageShape& image_for(const LayerText& text) {
    if (flat_) {
      text.fail(fmt::format("its input is a row of {} features, not an image", width_),
                "put it before flatten and the linear layers");
    }
    if (!image_) {
      text.fail(fmt::format("the data are rows of {} features, not images", width_),
                "use images (mnist, cifar10, digits, npy arrays of N x C x H x W), or linear "
                "layers alone");
    }
    sees_image_ = true;
    return *image_;
  }

  void expect_window(const LayerText& text, const ImageShape& input, int64_t height, int64_t width,
                     int64_t padding) {
    if (height <= input.height + 2 * padding && width <= input.width + 2 * padding) return;
    text.fail(fmt::format("its kernel of {} x {} is larger than its input of {}{}", height, width,
                          size_text(input),
                          padding > 0 ? fmt::format(" with {} zeros on each side", padding) : ""),
              "use a smaller kernel, more padding, or fewer layers before it");
  }

  void put(const LayerText& text, Layer layer, const ImageShape& output) {
    if (output.pixels() > kMaxWidth / output.channels) {
      text.fail(
          fmt::format("its output of {} has more than {} values", size_text(output), kMaxWidth));
    }
    layers_.push_back(layer);
    image_ = output;
    width_ = output.size();
  }

  void add_conv(const LayerText& text) {
    Conv2d conv;
    conv.channels = text.number(1, "the number of channels");
    const std::string_view kernel = text.word(2, "the kernel");
    const size_t cross = kernel.find('x');
    conv.kernel_height = text.number(kernel.substr(0, cross), "the kernel", 1);
    conv.kernel_width = cross == std::string_view::npos
                            ? conv.kernel_height
                            : text.number(kernel.substr(cross + 1), "the kernel", 1);
    text.expect_only(3, {"stride", "pad"});
    conv.stride = text.named(3, "stride", 1, 1);
    conv.padding = text.named(3, "pad", 0, 0);
    conv.input = image_for(text);
    if (conv.padding >= std::min(conv.kernel_height, conv.kernel_width)) {
      text.fail(fmt::format("a padding of {} makes windows of nothing but zeros", conv.padding),
                "give a padding below the kernel's sides");
    }
    expect_window(text, conv.input, conv.kernel_height, conv.kernel_width, conv.padding);
    put(text, conv, conv.output());
  }

  void add_pool(const LayerText& text, PoolKind kind) {
    Pool2d pool{.kind = kind, .input = {}};
    pool.kernel = text.number(1, "the kernel");
    text.expect_only(2, {"stride"});
    pool.stride = text.named(2, "stride", 1, pool.kernel);
    pool.input = image_for(text);
    expect_window(text, pool.input, pool.kernel, pool.kernel, 0);
    put(text, pool, pool.output());
  }

  void add_flatten(const LayerText& text) {
    text.expect_only(1, {});
    if (flat_) text.fail("its input is flat already", "leave it out");
    if (spatial()) layers_.push_back(Flatten{*image_});
    flat_ = true;
  }

  void add_linear(const LayerText& text) {
    const int64_t outputs = text.number(1, "the number of outputs");
    text.expect_only(2, {});
    if (spatial()) {
      text.fail(fmt::format("its input is an image of {}", size_text(*image_)),
                "put flatten before the first linear layer");
    }
    flat_ = true;
    layers_.push_back(Linear{width_, outputs, Activation::none});
    width_ = outputs;
  }

  // max and dropout, which only choose and scale, change places with ReLU.
  void add_relu(const LayerText& text) {
    text.expect_only(1, {});
    for (size_t i = layers_.size(); i-- > 0;) {
      Activation* activation = nullptr;
      if (auto* conv = std::get_if<Conv2d>(&layers_[i])) activation = &conv->activation;
      if (auto* linear = std::get_if<Linear>(&layers_[i])) activation = &linear->activation;
      if (activation) {
        if (*activation == Activation::relu) text.fail("there is one before it", "leave it out");
        *activation = Activation::relu;
        return;
      }
      const auto* pool = std::get_if<Pool2d>(&layers_[i]);
      if (pool && pool->kind == PoolKind::average) {
        text.fail("it follows avgpool", "put relu before avgpool");
      }
    }
    text.fail("no conv or linear layer stands before it",
              "put it behind one: the data need no activation");
  }

  void add_dropout(const LayerText& text) {
    const double p = text.probability(1);
    text.expect_only(2, {});
    if (!layers_.empty() && std::holds_alternative<Dropout>(layers_.back())) {
      text.fail("it follows another dropout", "give one probability");
    }
    layers_.push_back(Dropout{p});
  }

  std::vector<Layer> layers_;
  std::optional<ImageShape> image_;
  int64_t width_;
  bool flat_ = false;  // from here on a row of features
  bool sees_image_ = false;
};

Model describe(const std::string& option, const std::string& text,
               const std::optional<ImageShape>& image, int64_t inputs, int classes) {
  check_data(inputs, classes);
  Builder builder(image, inputs);
  const std::vector<std::string_view> parts = split(text, ',');
  for (size_t i = 0; i < parts.size(); ++i) {
    const LayerText layer(option, i, parts[i]);
    if (layer.empty()) {
      throw Error(ErrorKind::usage, fmt::format("{}: layer {} is empty", option, i + 1), kForms);
    }
    builder.add(layer);
  }
  if (builder.spatial()) {
    throw Error(ErrorKind::usage, option + ": the network ends in an image",
                "end it with flatten, linear " + std::to_string(classes));
  }
  Model model{.kind = "layers", .inputs = inputs, .classes = classes, .layers = builder.take()};
  model.loss = builder.width() == 1 ? Loss::binary_cross_entropy : Loss::softmax_cross_entropy;
  if (model.convolutional()) model.image = image;
  if (const std::string problem = problem_with(model); !problem.empty()) {
    throw Error(ErrorKind::usage, option + ": " + problem,
                fmt::format("end with 'linear {}' for these data, without relu or dropout "
                            "behind it",
                            classes));
  }
  return model;
}

// A network with a name, which the data may not fit.
Model named(const std::string& name, const std::string& text,
            const std::optional<ImageShape>& image, int64_t inputs, int classes) {
  try {
    Model model = describe("--model " + name, text, image, inputs, classes);
    model.kind = name;
    return model;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) throw;
    throw Error(ErrorKind::usage, error.what(),
                "use larger images, or describe a network that fits these data with --layers");
  }
}

}  // namespace

Model make_layers(const std::string& text, const std::optional<ImageShape>& image, int64_t inputs,
                  int classes) {
  return describe("--layers", text, image, inputs, classes);
}

Model make_cnn(const std::optional<ImageShape>& image, int64_t inputs, int classes) {
  return named("cnn",
               fmt::format("conv 32 3, relu, maxpool 2, conv 64 3, relu, maxpool 2, flatten, "
                           "linear 128, relu, linear {}",
                           classes),
               image, inputs, classes);
}

Model make_lenet(const std::optional<ImageShape>& image, int64_t inputs, int classes) {
  const bool small = image && image->height < 32;
  return named("lenet",
               fmt::format("conv 6 5{}, relu, maxpool 2, conv 16 5, relu, maxpool 2, flatten, "
                           "linear 120, relu, linear 84, relu, linear {}",
                           small ? " pad 2" : "", classes),
               image, inputs, classes);
}

}  // namespace lockstep
