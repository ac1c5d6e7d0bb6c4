// Controls of the emulated NCCL, for tests. Any host thread, while no communication is under way;
// environment variables set the same at the start, see the README. reset() aborts all
// communicators of the process and undoes what is set here.
#pragma once

#include "nccl.h"

namespace lockstep::emulator {

// A collective takes at least `latency` seconds and its bytes / `bytes_per_second` from when the
// last rank has come to it, in real time or, with set_virtual_time(), in virtual time. Bytes are
// those of the larger buffer of a rank; 0 bytes per second: they cost nothing. Seeded delays of
// set_delays() come on top, in real time only.
void set_communication_cost(double latency, double bytes_per_second);

// A call on a non-blocking communicator puts its operation into the stream up to this much later.
// One in four does so at once; with 0 all do.
void set_late_enqueue(int max_microseconds);

// Fault injection by rank, -1: any. The k-th collective, send or receive of that rank, counted from
// 0 since the call in this process when its stream comes to it; -1 injects none.
// It never reaches the other ranks, and communicators say `error` asynchronously. It and what its
// peers wait for stay in their streams until ncclCommAbort.
void fail_collective(int rank, long k, ncclResult_t error = ncclRemoteError);
// The same without an error: the rank just does not arrive.
void hold_collective(int rank, long k);
// The k-th initialisation of that rank fails, or never arrives.
void fail_init(int rank, long k, ncclResult_t error = ncclSystemError);
void hold_init(int rank, long k);

// How many collectives, sends and receives streams of this process have come to since reset().
long collectives_seen();

// Threads that communication in this process runs in, streams' own apart; 0 where no communicator
// is left.
int communication_threads();

}  // namespace lockstep::emulator
