// What kernels use of a GPU beyond CUDA C++: shared memory, tensor cores, asynchronous copies,
// clusters, mbarriers, dependent launches. Under nvcc these are PTX; on the emulator, its
// functions. Kernels use nothing of the kind but by way of this header, and no `__shared__`
// declaration.
//
// Where a compute capability lacks an instruction: copies are made at once (below 8.0), a cluster
// is one block (below 9.0), and a kernel that comes to a tensor core operation or an mbarrier ends
// with an error (below 8.0): the launcher chooses the kernel by device.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace lockstep::device {

#ifdef LOCKSTEP_EMULATOR
using Site = ::lockstep::emulator::Site;
#else
// Where a function was called, for the emulator's reports: nothing on a GPU.
struct Site {
  __device__ static constexpr Site here() { return {}; }
};
#endif

inline constexpr unsigned kWarpSize = 32;
inline constexpr unsigned kWholeWarp = 0xffffffffU;

// `count` values of T at byte `offset` of the block's dynamic shared memory, whose size the launch
// gives. Begins at a multiple of 1024 bytes; uninitialised.
template <class T>
__device__ __forceinline__ T* shared(std::size_t offset, std::size_t count = 1,
                                     Site site = Site::here());

// cp.async: copies 16 bytes, both addresses multiples of 16. The bytes are in shared memory, for
// the calling thread, after wait_copies(); other threads need a barrier after that. Until then
// neither side may be touched.
__device__ void copy_async_16(void* to_shared, const void* from_global);
__device__ void commit_copies();  // ends a group of copies
// Waits until at most `Pending` of the calling thread's latest groups are under way.
template <unsigned Pending>
__device__ __forceinline__ void wait_copies();

// float32 rounded to TF32, to nearest, ties away from zero: the low 13 bits are zero.
__device__ std::uint32_t to_tf32(float value);

// D = A B + C by a whole warp, float32 accumulators. Fragments as PTX documents them, with
// g = lane / 4 and t = lane % 4; rows of D: g for d[0..1], g + 8 for d[2..3]; columns 2 t, 2 t + 1.
// m16n8k8: a[i] is A[g + 8 (i % 2)][t + 4 (i / 2)], b[i] is B[t + 4 i][g], as to_tf32 gives them.
__device__ void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                         const float (&c)[4], Site site = Site::here());
// m16n8k16: two bfloat16 a register, the lower k in the low half; a[i] is row g + 8 (i % 2) and
// k = 2 t + 8 (i / 2), b[i] is k = 2 t + 8 i and column g.
__device__ void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                         const float (&c)[4], Site site = Site::here());

// ldmatrix by a whole warp: `Count` (1, 2 or 4) matrices of 8 x 8 16-bit elements in shared memory.
// Lane 8 m + r names row r of matrix m (16 bytes, aligned; other lanes' addresses must be valid
// too). r[m] holds elements [g][2 t] and [g][2 t + 1] of matrix m; transposed: of its transpose.
template <int Count>
__device__ __forceinline__ void load_matrices(std::uint32_t (&r)[Count], const void* row,
                                              Site site = Site::here());
template <int Count>
__device__ __forceinline__ void load_matrices_transposed(std::uint32_t (&r)[Count], const void* row,
                                                         Site site = Site::here());

// Clusters. Each thread of the cluster arrives, and then waits: what it did before the first is
// seen after the second.
__device__ unsigned cluster_rank();  // of the block
__device__ unsigned cluster_size();
__device__ void cluster_arrive(Site site = Site::here());
__device__ void cluster_wait(Site site = Site::here());
__device__ inline void cluster_sync(Site site = Site::here()) {
  cluster_arrive(site);
  cluster_wait(site);
}
// The same place in the shared memory of the cluster's block `rank`, which must have begun and must
// not have ended: cluster_sync() before the first use and after the last.
template <class T>
__device__ __forceinline__ T* of_block(T* in_shared, unsigned rank, Site site = Site::here());

// mbarriers, in shared memory. One thread initialises, fence_mbarriers() and a barrier publish it.
// A phase ends with its last arrival; phases are counted from 0, `parity` is that of the number.
using Mbarrier = std::uint64_t;
__device__ void init_mbarrier(Mbarrier* barrier, unsigned arrivals);
__device__ void fence_mbarriers();
__device__ void arrive(Mbarrier* barrier, Site site = Site::here());
// At the mbarrier in the same place of the cluster's block `rank`. 9.0 and later.
__device__ void arrive_at(Mbarrier* barrier, unsigned rank, Site site = Site::here());
// Whether the phase of that parity has ended; may wait for a while to see it.
__device__ bool try_wait(Mbarrier* barrier, unsigned parity, Site site = Site::here());
__device__ inline void wait(Mbarrier* barrier, unsigned parity, Site site = Site::here()) {
  while (!try_wait(barrier, parity, site)) {
  }
}

// Programmatic dependent launch. Before the first the kernel must not touch what the kernel before
// it writes or reads; after the second, called or left out by every block, the next may begin.
__device__ void wait_for_previous_kernel(Site site = Site::here());
__device__ void launch_next_kernel();

// Flags between blocks, devices and the host.
__device__ unsigned load_acquire(const unsigned* flag, Site site = Site::here());
__device__ void store_release(unsigned* flag, unsigned value, Site site = Site::here());

}  // namespace lockstep::device

#ifdef LOCKSTEP_EMULATOR
#include "emulator/device_seam.h"
#else
#include "kernels/device_ptx.h"
#endif
