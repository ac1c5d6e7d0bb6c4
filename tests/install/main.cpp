// Trains the embedded digits for one epoch through the public headers alone.

#include <cstdio>

#include "lockstep/config.h"
#include "lockstep/data.h"
#include "lockstep/error.h"
#include "lockstep/trainer.h"

int main() {
  try {
    lockstep::Config config;
    config.epochs = 1;
    config.workers = 2;
    config.model.hidden = {32};

    const lockstep::Dataset dataset = lockstep::load_dataset(config.data, config.seed);
    const lockstep::Model model =
        lockstep::make_model(config.model, dataset.features(), dataset.classes);
    const lockstep::Resolved resolved = lockstep::resolve(config, dataset.train.size());
    const lockstep::TrainedModel trained = lockstep::train(resolved, dataset, model);

    const lockstep::EpochRecord& epoch = trained.result.epochs.at(0);
    std::printf("%s, %d workers: loss %.3f, test accuracy %.3f\n", trained.result.name.c_str(),
                trained.result.workers, epoch.train_loss, epoch.test.value().accuracy);
    const bool learned = epoch.test->accuracy > 0.3;  // ten classes: guessing gives 0.1
    return learned ? 0 : 1;
  } catch (const lockstep::Error& error) {
    std::fprintf(stderr, "%s\n%s\n", error.what(), error.remedy().c_str());
    return lockstep::exit_code(error.kind());
  }
}
