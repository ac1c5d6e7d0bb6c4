// The float32 step of a network of linear layers, on panels (backend/panel.h) and own kernels.
#pragma once

#include <memory>

#include "lockstep/backend.h"

namespace lockstep {

std::unique_ptr<Step> make_panel_step(const Model& model, const ParameterLayout& layout,
                                      const Normalization& normalization, const StepMemory& memory,
                                      const StepOptions& options);

// A panel step whose gradients several of its kind compute together, from the factors of all (as
// FactorStep does with the update). The flat gradient buffer is computed in pieces.
class SharedPanelStep : public FactorStep {
 public:
  // The same for all steps that were compiled alike.
  virtual size_t pieces() const = 0;
  // What is final once piece `piece` is computed by all, after those before it; may be empty. The
  // ranges are descending and adjacent and cover the layout.
  virtual Range piece_range(size_t piece) const = 0;
  // Writes slice `rank` of a piece to the flat buffer `gradients`, summed over the samples of all
  // `steps` in one chain; this is steps[rank].
  virtual void piece_gradient(size_t piece, std::span<FactorStep* const> steps, int rank,
                              float* gradients) = 0;
};

// REQUIRES: `step` was made by make_panel_step.
SharedPanelStep* shared_panel_step(Step& step);

size_t panel_step_workspace_bytes(const Model& model, const ParameterLayout& layout,
                                  const StepOptions& options);

}  // namespace lockstep
