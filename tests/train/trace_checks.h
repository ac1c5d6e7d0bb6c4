// What a trace's file must be, whatever made it.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace lockstep::testing {

struct TracedEvent {
  std::string name, category;
  double begin = 0.0, end = 0.0;  // microseconds
  int64_t step = 0;
  nlohmann::json arguments;
};

// A trace's events by the names of their process and thread: "lockstep/worker 0".
class ReadTrace {
 public:
  explicit ReadTrace(const std::string& text) : document_(nlohmann::json::parse(text)) {
    std::map<std::pair<int, int>, std::string> threads;
    std::map<int, std::string> processes;
    for (const nlohmann::json& event : document_.at("traceEvents")) {
      if (event.at("ph") != "M") continue;
      const std::string name = event.at("name");
      if (name == "process_name") processes[event.at("pid")] = event.at("args").at("name");
      if (name == "thread_name") {
        threads[{event.at("pid"), event.at("tid")}] = event.at("args").at("name");
      }
    }
    for (const nlohmann::json& event : document_.at("traceEvents")) {
      if (event.at("ph") == "M") continue;
      EXPECT_EQ(event.at("ph"), "X");
      const int process = event.at("pid"), thread = event.at("tid");
      TracedEvent read{
          event.at("name"), event.at("cat"), event.at("ts"), 0.0, event.at("args").at("step"),
          event.at("args")};
      read.end = read.begin + event.at("dur").get<double>();
      const std::string track =
          processes.at(process) + "/" + threads.at({process, thread});  // both have names
      tracks_[track].push_back(read);
    }
    for (const auto& [name, events] : tracks_) expect_nested(name, events);
  }

  const nlohmann::json& other() const { return document_.at("otherData"); }
  std::set<std::string> tracks() const {
    std::set<std::string> names;
    for (const auto& [name, events] : tracks_) names.insert(name);
    return names;
  }
  const std::vector<TracedEvent>& track(const std::string& name) const { return tracks_.at(name); }
  std::vector<TracedEvent> of(const std::string& track, const std::string& category,
                              const std::string& name = {}) const {
    std::vector<TracedEvent> chosen;
    for (const TracedEvent& event : tracks_.at(track)) {
      const bool named = name.empty() || event.name == name;
      if (event.category == category && named) chosen.push_back(event);
    }
    return chosen;
  }
  std::set<int64_t> steps(const std::string& track) const {
    std::set<int64_t> steps;
    for (const TracedEvent& event : tracks_.at(track)) steps.insert(event.step);
    return steps;
  }

 private:
  // Events of a track are in order; each lies in the one around it or behind it.
  static void expect_nested(const std::string& track, const std::vector<TracedEvent>& events) {
    constexpr double kRounding = 2e-3;
    std::vector<double> ends;
    double begin = 0.0;
    for (const TracedEvent& event : events) {
      EXPECT_GE(event.begin, begin) << track << ": " << event.name;
      EXPECT_GE(event.end, event.begin) << track << ": " << event.name;
      begin = event.begin;
      while (!ends.empty() && ends.back() <= event.begin + kRounding) ends.pop_back();
      if (!ends.empty()) {
        EXPECT_LE(event.end, ends.back() + kRounding) << track << ": " << event.name;
      }
      ends.push_back(event.end);
    }
  }

  nlohmann::json document_;
  std::map<std::string, std::vector<TracedEvent>> tracks_;
};

// Seconds of `events`.
inline double seconds_of(const std::vector<TracedEvent>& events) {
  double sum = 0.0;
  for (const TracedEvent& event : events) sum += event.end - event.begin;
  return 1e-6 * sum;
}

// Seconds in which an event of `a` and one of `b` of the same step run at once.
inline double seconds_together(const std::vector<TracedEvent>& a,
                               const std::vector<TracedEvent>& b) {
  double sum = 0.0;
  for (const TracedEvent& x : a) {
    for (const TracedEvent& y : b) {
      if (x.step != y.step) continue;
      sum += std::max(0.0, std::min(x.end, y.end) - std::max(x.begin, y.begin));
    }
  }
  return 1e-6 * sum;
}

// Of `a`, how many begin before the last event of `b` in the same step ends.
inline int begun_before_the_end(const std::vector<TracedEvent>& a,
                                const std::vector<TracedEvent>& b) {
  std::map<int64_t, double> ends;
  for (const TracedEvent& event : b) ends[event.step] = std::max(ends[event.step], event.end);
  int begun = 0;
  for (const TracedEvent& event : a) begun += event.begin < ends[event.step] ? 1 : 0;
  return begun;
}

}  // namespace lockstep::testing
