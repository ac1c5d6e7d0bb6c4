#include "data/download.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "lockstep/error.h"

namespace lockstep {
namespace {

constexpr long kConnectSeconds = 15;
constexpr long kStallSeconds = 30;  // below kStallBytes a second for so long: broken
constexpr long kStallBytes = 1000;

struct State {
  const Transfer* transfer = nullptr;
  std::FILE* file = nullptr;
  int64_t before = 0;  // bytes in the file when the transfer began
  int64_t received = 0;
  int write_error = 0;  // errno
  bool too_large = false;
  bool stopped = false;
};

size_t on_data(char* data, size_t size, size_t count, void* user) {
  auto& state = *static_cast<State*>(user);
  const size_t bytes = size * count;
  if (state.before + state.received + static_cast<int64_t>(bytes) > state.transfer->largest) {
    state.too_large = true;
    return 0;
  }
  if (std::fwrite(data, 1, bytes, state.file) != bytes) {
    state.write_error = errno;
    return 0;
  }
  state.received += static_cast<int64_t>(bytes);
  return bytes;
}

int on_progress(void* user, curl_off_t total, curl_off_t, curl_off_t, curl_off_t) {
  auto& state = *static_cast<State*>(user);
  if (!state.transfer->progress) return 0;
  const int64_t whole = total > 0 ? state.before + static_cast<int64_t>(total) : 0;
  state.stopped = !state.transfer->progress(state.before + state.received, whole);
  return state.stopped ? 1 : 0;
}

[[noreturn]] void fail_to_write(const std::string& path, int error) {
  const std::string reason = std::generic_category().message(error);
  throw Error(ErrorKind::runtime, fmt::format("cannot write {}: {}", path, reason),
              "check the folder's permissions and the space left on its disk");
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// What curl reports, in the terms of TransferStatus.
TransferOutcome outcome_of(CURLcode code, long http_status, const char* detail,
                           const State& state) {
  TransferOutcome outcome{TransferStatus::broken, detail, state.received};
  if (outcome.problem.empty()) outcome.problem = curl_easy_strerror(code);
  if (code == CURLE_OK) {
    outcome = {TransferStatus::done, "", state.received};
  } else if (state.stopped) {
    outcome.status = TransferStatus::stopped;
  } else if (state.too_large) {
    outcome.problem = fmt::format("sends more than {} bytes", state.transfer->largest);
  } else if (code == CURLE_HTTP_RETURNED_ERROR) {
    constexpr long kRangeNotSatisfiable = 416;
    outcome.problem = fmt::format("HTTP {}", http_status);
    if (http_status == kRangeNotSatisfiable) outcome.status = TransferStatus::resume_refused;
  } else if (code == CURLE_RANGE_ERROR) {
    outcome.status = TransferStatus::resume_refused;
  }
  return outcome;
}

void set_options(CURL* curl, const Transfer& transfer, State& state, char* detail) {
  curl_easy_setopt(curl, CURLOPT_URL, transfer.url.c_str());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "lockstep");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, kStallBytes);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(state.before));
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &on_data);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &state);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &state);
}

}  // namespace

TransferOutcome download(const Transfer& transfer) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 &curl_easy_cleanup);
  if (ready != CURLE_OK || !curl) throw Error(ErrorKind::runtime, "libcurl cannot be initialised");

  std::unique_ptr<std::FILE, CloseFile> file(std::fopen(transfer.path.c_str(), "ab"));
  if (!file || std::fseek(file.get(), 0, SEEK_END) != 0) fail_to_write(transfer.path, errno);
  State state;
  state.transfer = &transfer;
  state.file = file.get();
  state.before = std::ftell(file.get());

  std::array<char, CURL_ERROR_SIZE> detail{};
  set_options(curl.get(), transfer, state, detail.data());
  const CURLcode code = curl_easy_perform(curl.get());
  long http_status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &http_status);

  // The bytes are on the disk before anyone renames the file to its final name.
  const bool flushed = std::fflush(file.get()) == 0 && fsync(fileno(file.get())) == 0;
  if (state.write_error != 0) fail_to_write(transfer.path, state.write_error);
  if (!flushed) fail_to_write(transfer.path, errno);
  return outcome_of(code, http_status, detail.data(), state);
}

}  // namespace lockstep
