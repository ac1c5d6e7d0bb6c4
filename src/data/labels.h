// Labels as files hold them (numbers or text), and their mapping to class indices.
//
// Numbers are ordered by value, text by bytes; the k-th label in that order is class k. So {-1, 1}
// becomes {0, 1}, and {1..K} becomes {0..K-1}. "+1", "1" and "1.0" are one label.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lockstep {

// More different labels than this are taken for a regression target and refused.
inline constexpr size_t kMaxClasses = 1000;

// One file's labels: row i has the label names[codes[i]], where names are in order of appearance.
struct RawLabels {
  std::string path;  // for messages
  std::vector<int32_t> codes;
  std::vector<std::string> names;

  bool empty() const { return codes.empty(); }
};

// What becomes of labels that the model does not know: in data to predict they do not matter.
enum class UnknownLabels { error, ignored };

// Collects labels row by row. Errors are Error{data} with file and row.
class LabelEncoder {
 public:
  // `path` is for messages. With UnknownLabels::ignored any number of labels is taken.
  LabelEncoder(std::string path, UnknownLabels unknown)
      : labels_{std::move(path), {}, {}}, unknown_(unknown) {}

  void reserve(size_t rows) { labels_.codes.reserve(rows); }
  void add(std::string_view text);  // trimmed; must not be empty
  void add(int64_t number);
  void add(double number);
  RawLabels take() { return std::move(labels_); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  int32_t code_of_name(std::string name);

  RawLabels labels_;
  UnknownLabels unknown_;
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> by_text_;  // as it stands there
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> by_name_;  // "1.0" is "1"
  std::unordered_map<int64_t, int32_t> by_number_;
};

// The class names of a training part, in class order. Error{data}: fractions (a regression target),
// fewer than two classes.
std::vector<std::string> classes_of(const RawLabels& labels);

// Turns codes into indices of `class_names`. A label that is not among them is an error that names
// file, row and label; where ignored, all labels are dropped (the result is empty) if one is
// unknown.
std::vector<int32_t> class_indices(RawLabels labels, const std::vector<std::string>& class_names,
                                   UnknownLabels unknown);

}  // namespace lockstep
