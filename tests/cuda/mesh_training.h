// Training the small run of training.h on a mesh of ranks that are threads and share the device.
#pragma once

#include <functional>

#include "experiments/run/machine.h"
#include "parallel/thread_ranks.h"
#include "tests/cuda/fake_nccl.h"
#include "tests/cuda/training.h"
#include "tests/experiments/mesh_result.h"

namespace mixspan::test {

struct DeviceMesh {
  MeshShape shape = {};
  Rows rows = Rows::as_they_are;
  DeviceTransport transport = DeviceTransport::automatic;
};

/// What a mesh is compared by: clipping is off, so that adam_m after one step is (1 - beta1) times
/// the gradient.
inline RunConfig mesh_run(const DeviceMesh& mesh, RunConfig c = small_run()) {
  c.train.micro_rows = 1;
  c.train.max_grad_norm = 0;
  c.optimizer.warmup_steps = 0;
  c.parallel.dp = mesh.shape.dp;
  c.parallel.cp = mesh.shape.cp;
  c.parallel.tp = mesh.shape.tp;
  return c;
}

/// Calls body(trainer) on every rank, each with a stream and memory of its own.
inline void on_every_rank(Device device, const DeviceMesh& mesh, RunConfig config,
                          const std::function<void(Trainer&)>& body) {
  std::unique_ptr<SampleSource> data = open_training(config.data, config.model.context, 1);
  config.device = "cuda";
  config.model.vocab = data->vocab_size();
  if (mesh.rows != Rows::as_they_are) {
    data = std::make_unique<ChangedRows>(std::move(data), mesh.rows);
  }
  const NcclFunctions nccl = fake_nccl();
  run_thread_ranks(mesh.shape.size(), {.timeout_seconds = 300},
                   [&](std::unique_ptr<Communicator> world) {
                     Machine machine(1, false, world->rank(), device);
                     const Exec ex = machine.exec();
                     world->use_device({ex.device, ex.stream, mesh.transport, &nccl});
                     const Mesh ranks(std::move(world), mesh.shape);
                     Trainer trainer(ex, config, *data, ranks);
                     body(trainer);
                   });
}

inline MeshResult run_on_mesh(Device device, const DeviceMesh& mesh, const RunConfig& config,
                              std::int64_t steps) {
  MeshResult result;
  on_every_rank(device, mesh, config,
                [&](Trainer& trainer) { train_into(result, trainer, steps); });
  return result;
}

}  // namespace mixspan::test
