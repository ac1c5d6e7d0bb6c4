#include <algorithm>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <unordered_map>
#include <utility>

#include "backend/gemm.h"
#include "lockstep/buffer.h"
#include "lockstep/error.h"

// Debian's oneDNN runs on OpenMP, whose thread count belongs to the calling thread. Weak: where
// oneDNN was built without OpenMP there is nothing to set.
extern "C" [[gnu::weak]] void omp_set_num_threads(int threads);

namespace lockstep {
namespace {

using dnnl::matmul;
using dnnl::memory;

// oneDNN's own exceptions become the program's.
template <class Call>
auto checked(const char* what, const Call& call) {
  try {
    return call();
  } catch (const dnnl::error& error) {
    throw Error(ErrorKind::runtime, std::string("oneDNN cannot ") + what + ": " + error.what(),
                "report this with the output of `lockstep doctor`");
  }
}

// An instruction set's bits contain those of the sets that it extends.
bool has(dnnl_cpu_isa_t isa) {
  return (dnnl_get_effective_cpu_isa() & isa) == static_cast<int>(isa);
}

const char* instruction_set() {
  constexpr std::pair<dnnl_cpu_isa_t, const char*> kNames[] = {
      {dnnl_cpu_isa_avx512_core_amx, "AVX-512 with AMX"},
      {dnnl_cpu_isa_avx512_core_bf16, "AVX-512 with bf16"},
      {dnnl_cpu_isa_avx512_core, "AVX-512"},
      {dnnl_cpu_isa_avx2, "AVX2"},
      {dnnl_cpu_isa_avx, "AVX"},
      {dnnl_cpu_isa_sse41, "SSE4.1"}};
  for (const auto& [isa, name] : kNames) {
    if (has(isa)) return name;
  }
  return "plain";
}

dnnl::engine& cpu() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

memory::desc row_major(int64_t rows, int64_t columns, memory::data_type type) {
  return {{rows, columns}, type, memory::format_tag::ab};
}

matmul::primitive_desc describe(const ProductShape& shape, bool bias) {
  const auto& [m, k, n] = shape;
  const memory::desc a = row_major(m, k, memory::data_type::bf16);
  const memory::desc b({k, n}, memory::data_type::bf16, memory::format_tag::BA16a64b2a);
  const memory::desc c = row_major(m, n, memory::data_type::f32);
  const memory::desc d = bias ? row_major(1, n, memory::data_type::f32) : memory::desc();
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
#if DNNL_VERSION_MAJOR >= 3
  return {cpu(), a, b, d, c, attributes};
#else
  return {matmul::desc(a, b, d, c), attributes, cpu()};
#endif
}

}  // namespace

std::string gemm_library() {
  const dnnl_version_t* version = dnnl_version();
  return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch) + " (" + instruction_set() + ")";
}

std::string bf16_instructions() {
  if (has(dnnl_cpu_isa_avx512_core_amx)) return "AMX";
  return has(dnnl_cpu_isa_avx512_core_bf16) ? "AVX512_BF16" : "";
}

void set_gemm_threads(int threads) {
  if (omp_set_num_threads) omp_set_num_threads(threads);
}

// The library's descriptors and handles are made once: a run() sets the result's address.
struct Product::Compiled {
  matmul::primitive_desc description;
  matmul primitive;
  dnnl::stream stream;
  Buffer<uint8_t> scratch;
  memory result;
  std::unordered_map<int, memory> arguments;

  Compiled(const ProductShape& shape, const Bf16* a, const Bf16* b, const float* bias)
      : description(describe(shape, bias != nullptr)),
        primitive(description),
        stream(cpu()),
        scratch(description.scratchpad_desc().get_size()),
        result(description.dst_desc(), cpu(), DNNL_MEMORY_NONE) {
    const auto bind = [this](int argument, const memory::desc& desc, const void* data) {
      arguments.emplace(argument, memory(desc, cpu(), const_cast<void*>(data)));
    };
    bind(DNNL_ARG_SRC, description.src_desc(), a);
    bind(DNNL_ARG_WEIGHTS, description.weights_desc(), b);
    if (bias) bind(DNNL_ARG_BIAS, description.bias_desc(), bias);
    bind(DNNL_ARG_SCRATCHPAD, description.scratchpad_desc(), scratch.data());
    arguments.emplace(DNNL_ARG_DST, result);
  }
};

Product::Product(const ProductShape& shape, const Bf16* a, const Bf16* b, const float* bias)
    : compiled_(checked("compile a bf16 product",
                        [&] { return std::make_unique<Compiled>(shape, a, b, bias); })) {}

Product::Product(Product&&) noexcept = default;
Product& Product::operator=(Product&&) noexcept = default;
Product::~Product() = default;

void Product::run(float* c) {
  checked("compute a bf16 product", [&] {
    compiled_->result.set_data_handle(c);
    compiled_->primitive.execute(compiled_->stream, compiled_->arguments);
    compiled_->stream.wait();
  });
}

}  // namespace lockstep
