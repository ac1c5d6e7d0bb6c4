// Denormal numbers: floats below 1.2e-38, which CPUs compute with in microcode, some hundred times
// slower than with others.
#pragma once

namespace lockstep {

// From here on the calling thread takes denormals for zero, as operands and as results, where the
// CPU can (x86-64, AArch64). Every worker does: with weight decay the weights of inputs that are
// always zero shrink towards zero, and Adam's moments of them would spend most of a training there.
void flush_denormals() noexcept;

}  // namespace lockstep
