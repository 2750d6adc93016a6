#include "experiments/run/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/build.h"
#include "core/cpu.h"
#include "experiments/run/checkpoint_folder.h"
#include "experiments/run/device_choice.h"
#include "experiments/run/evaluate.h"
#include "experiments/run/memory_advice.h"
#include "experiments/run/model_file.h"
#include "experiments/run/run_plan.h"
#include "experiments/run/run_report.h"
#include "experiments/run/step_profile.h"
#include "kernels/peak.h"

namespace mixspan {

namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

bool due(std::int64_t every, std::int64_t step) { return every > 0 && step % every == 0; }

// The data decide the vocabulary unless the config asks for room for more.
RunConfig with_vocab(RunConfig config, const SampleSource& data) {
  if (config.model.vocab == 0) config.model.vocab = data.vocab_size();
  require(
      config.model.vocab >= data.vocab_size(),
      "model.vocab = {}: the tokens of {} need {}; wanted that or more, or 0 for as many as needed",
      config.model.vocab, config.data.train, data.vocab_size());
  return config;
}

RunConfig with_room(RunConfig config, const TrainRequest& r, const Mesh& mesh, Device device) {
  require_memory(config, mesh.world(), device, r.memory_bytes);
  return config;
}

}  // namespace

std::vector<std::string> may_change(const RunConfig& c) {
  // A checkpoint is whole and of fp32 weights, so any mesh and any device may go on from it.
  std::vector<std::string> keys{"device",       "kernels.*", "parallel.*",    "log.*",
                                "checkpoint.*", "eval.*",    "train.max_time"};
  // A longer run of the same settings is the same run, unless the schedule bends to its length.
  if (c.optimizer.schedule == "constant") keys.emplace_back("train.steps");
  return keys;
}

Run::Run(const TrainRequest& r, const StopSignal& signals, const Mesh& mesh, Device device)
    : run_dir_(r.run_dir),
      signals_(signals),
      mesh_(mesh),
      machine_(r.threads, r.profile || !r.config.log.trace.empty(), mesh.world().rank(), device,
               library_options(r.config, r.run_dir)),
      note_(r.note),
      device_messages_(join_devices()),
      measure_peak_(r.measure_peak),
      profiling_(r.profile),
      data_(r.open_data ? r.open_data()
                        : open_training(r.config.data, r.config.model.context,
                                        static_cast<std::uint64_t>(r.config.train.seed))),
      config_(with_room(with_vocab(r.config, *data_), r, mesh, device)),
      eval_data_(open_evaluation(config_.data, config_.model.context, config_.eval.rows)),
      trainer_(exec(), config_, *data_, mesh_),
      started_from_(initial_weights()),
      traffic_(mesh) {
  mesh_.trace(exec().tracer);
  digest_.data<std::int64_t>()[0] = static_cast<std::int64_t>(data_->digest());
  mesh_.world().barrier({"start"});  // nobody looks for checkpoints while the folder is made
  if (!mesh_.is_first()) return;
  dir_.emplace(RunDirectoryOptions{run_dir_, to_toml(config_), may_change(config_),
                                   config_.train.steps, std::string(kBuildName)});
  progress_.emplace(r.out);
}

Exec Run::exec() {
  Exec ex = machine_.exec(precision_of(config_));
  ex.attention = attention_kernel_of(config_);
  ex.attention_backward = attention_backward_of(config_);
  return ex;
}

std::string Run::join_devices() {
  const Exec ex = machine_.exec();
  if (!ex.device.is_cuda() || mesh_.world().size() == 1) return "";
  const DeviceMessagesChoice choice = choose_device_messages(ex.device, mesh_.world());
  if (choice.transport == DeviceTransport::nccl) nccl_ = open_nccl();
  mesh_.world().use_device({ex.device, ex.stream, choice.transport, nccl_ ? &*nccl_ : nullptr});
  return choice.text;
}

// On a device what was taken there: parameters, moments, and both arenas at their fullest.
std::int64_t Run::memory_bytes() {
  if (!exec().device.is_cuda()) return peak_resident_bytes();
  return static_cast<std::int64_t>(trainer_.state_bytes() + trainer_.activations().taken_bytes() +
                                   machine_.scratch().taken_bytes());
}

std::string Run::initial_weights() {
  const std::string& from = config_.train.init_from;
  if (from.empty() || std::filesystem::exists(checkpoints() / "latest")) return "";
  const std::filesystem::path path = *find_checkpoint(from).path;
  trainer_.restore_weights(Checkpoint::open(path));
  return path.string();
}

void Run::say(const std::string& line) {
  if (!dir_) return;
  progress_->note(line);
  dir_->log(line);
}

void Run::describe() {
  say(fmt::format("mixspan {}, run {}", kBuildName, run_dir_.string()));
  say(fmt::format("device: {}, {}", describe_device(exec().device), config_.train.precision));
  if (!note_.empty()) say(fmt::format("device: the GPU is not used: {}", note_));
  if (!device_messages_.empty()) {
    say(fmt::format("messages between the ranks' devices: {}", device_messages_));
  }
  for (const std::string& line : describe_run(config_, trainer_, *data_, eval_data_.get()))
    say(line);
  say(fmt::format(
      "batch: {} tokens = {} rows of {}, {} at a time; {} threads; peak {} FLOP/s (products of {})",
      config_.train.batch_tokens, config_.batch_rows(), config_.model.context,
      trainer_.micro_rows(), exec().threads.size(), human_count(peak_flops_),
      config_.train.precision));
}

void Run::resume() {
  NewestCheckpoint newest;
  if (mesh_.is_first()) newest = find_newest(checkpoints());
  for (const std::string& line : newest.damaged)
    say(fmt::format("damaged checkpoint passed over: {}", line));
  const auto step = static_cast<std::int64_t>(
      mesh_.world().all_reduce_max({"resume"}, static_cast<double>(newest.step)));
  if (step >= 0) {
    const Checkpoint checkpoint = Checkpoint::open(checkpoints() / step_name(step));
    Tensor digest({1}, DType::i64);
    read_tensors(checkpoint, {{"data/digest", digest}, {"run/loss", last_loss_}});
    require(
        digest.data<std::int64_t>()[0] == digest_.data<std::int64_t>()[0],
        "data.train = \"{}\": is not the data that {} was trained on; wanted the same corpus, or "
        "another --run-dir",
        config_.data.train, checkpoint.path().string());
    trainer_.restore_state(checkpoint);
    step_ = saved_step_ = step;
    say(fmt::format("going on from step {} ({})", step_, checkpoint.path().string()));
  } else if (!started_from_.empty()) {
    say(fmt::format("starting from the weights of {}", started_from_));
  }
  if (!dir_) return;
  metrics_.emplace(dir_->metrics(), step);
  if (config_.log.tensorboard) board_.emplace(dir_->tensorboard(), step);
}

ExitCode Run::go() {
  if (mesh_.world().all_reduce_max({"finished"}, dir_ && dir_->finished() ? 1 : 0) > 0) {
    if (progress_) {
      progress_->note(
          fmt::format("{}: this run is finished; its result is in result.json", run_dir_.string()));
    }
    return kFinished;
  }
  try {
    return with_memory_advice(config_, [&] { return train_and_finish(); });
  } catch (const LeaseLost&) {
    throw;  // the files belong to somebody else now
  } catch (const std::exception& e) {
    // Freeing device memory waits for what runs there, and that for the other ranks.
    if (nccl_) mesh_.world().abort(e.what());
    if (dir_) {
      dir_->log(fmt::format("failed: {}", e.what()));
      const std::string_view message = e.what();  // how a rank failed, then what it did last
      dir_->set_state(RunState::failed, message.substr(0, message.find('\n')));
    }
    throw;
  }
}

constexpr int kOutOfTime = 1000;  // beside the numbers of signals

// The number of a signal that any rank got, kOutOfTime, or 0: the same on all ranks.
int Run::reason_to_stop() const {
  int reason = signals_.requested();
  if (reason == 0 && !config_.train.max_time.empty() &&
      seconds_since(begin_) > static_cast<double>(parse_duration(config_.train.max_time).count())) {
    reason = kOutOfTime;
  }
  return static_cast<int>(mesh_.world().all_reduce_max({"stop"}, reason));
}

ExitCode Run::train_and_finish() {
  if (dir_) dir_->set_state(RunState::running);
  peak_flops_ = measured_peak();
  describe();
  resume();
  while (step_ < config_.train.steps) {
    const StepReport report = timed_step();
    step_ = report.step;
    ++window_steps_;
    last_loss_.data<double>()[0] = report.loss;
    if (profiling_ && traffic_.steps() == StepProfile::kWarmup + StepProfile::kSteps) {
      write_profile();
    }
    if (due(config_.log.every_steps, step_) || step_ == config_.train.steps) log_step(report);
    if (due(config_.eval.every_steps, step_)) evaluate_now(step_);
    if (dir_) dir_->heartbeat(step_);
    const int reason = reason_to_stop();
    const bool stop = reason != 0 && step_ < config_.train.steps;
    if (stop || due(config_.checkpoint.every_steps, step_)) save(step_);
    if (stop) {
      const std::string why = reason == kOutOfTime ? "train.max_time is up" : signal_name(reason);
      say(fmt::format("stopped at step {} of {} ({}), saved; the same command goes on", step_,
                      config_.train.steps, why));
      if (profiling_) write_profile();
      write_trace();
      if (dir_) dir_->set_state(RunState::interrupted, why);
      return kStopped;
    }
  }
  finish(step_);
  return kFinished;
}

StepReport Run::timed_step() {
  traffic_.begin_step();
  const Clock::time_point begin = Clock::now();
  const StepReport report = trainer_.step(step_);
  window_seconds_ += seconds_since(begin);
  traffic_.end_step();
  if (traffic_.steps() == 1) compare_with_plan();
  return report;
}

void Run::compare_with_plan() {
  layers_ = layer_traffic(config_, trainer_);
  std::int64_t excess = 0;
  for (const LayerTraffic& layer : layers_) {
    excess = std::max(excess, layer.sent - layer.planned);
    if (dir_ && layer.planned + layer.sent > 0) dir_->log(mixspan::describe(layer));
  }
  const double most = mesh_.world().all_reduce_max({"plan"}, static_cast<double>(excess));
  if (most > 0) say(fmt::format("a rank sends {:.0f} bytes more for a layer than planned", most));
}

// What all ranks together can do.
double Run::measured_peak() {
  if (!measure_peak_) return 0;
  return mesh_.world().all_reduce_sum({"peak"}, measure_gemm_peak(exec()));
}

void Run::log_step(const StepReport& r) {
  const double step_seconds = window_seconds_ / static_cast<double>(window_steps_);
  const double tokens_per_s = static_cast<double>(r.tokens) / step_seconds;
  TrainMetrics m;
  m.step = r.step;
  m.tokens = r.step * r.tokens;
  m.loss = r.loss;
  m.grad_norm = r.grad_norm;
  m.lr = r.lr;
  m.tokens_per_s = tokens_per_s;
  if (peak_flops_ > 0) m.mfu = r.flops / step_seconds / peak_flops_;
  m.step_ms = step_seconds * 1e3;
  m.memory_bytes = memory_bytes();
  m.comm_bytes = traffic_.last_bytes();
  window_seconds_ = 0;
  window_steps_ = 0;
  if (!dir_) return;
  metrics_->write(m);
  if (board_) board_->write(m);
  progress_->update({r.step, config_.train.steps, r.loss, r.grad_norm, r.lr, tokens_per_s, m.mfu,
                     m.memory_bytes,
                     step_seconds * static_cast<double>(config_.train.steps - r.step)});
}

void Run::evaluate_now(std::int64_t step) {
  if (!eval_data_) return;
  // The peak is what the machine can do, so what others left of it at the start may have been too
  // low.
  peak_flops_ = std::max(peak_flops_, measured_peak());
  // A device has the weights of kernels in the run's precision; a CPU evaluates in fp32.
  const Exec ex = exec().device.is_cuda() ? exec() : machine_.exec();
  EvalMetrics m = evaluate(ex, trainer_.model(), *eval_data_, config_.eval.buckets, mesh_,
                           trainer_.layout().kind());
  m.step = step;
  m.tokens = step * config_.train.batch_tokens;
  m.data = config_.data.eval.empty() ? config_.data.train : config_.data.eval;
  if (metrics_) metrics_->write(m);
  if (board_) board_->write(m);
  say(fmt::format("step {}: evaluation loss {:.4f}, perplexity {:.2f}{}, accuracy {:.1f} %", step,
                  m.loss, std::exp(m.loss),
                  m.bits_per_byte ? fmt::format(", {:.3f} bits per byte", *m.bits_per_byte) : "",
                  100 * m.accuracy.value_or(0)));
  evaluated_step_ = step;
  last_eval_ = std::move(m);
}

// What a checkpoint holds beside the trainer's state.
std::vector<NamedConstView> Run::run_state() {
  return {{"data/digest", digest_}, {"run/loss", last_loss_}};
}

void Run::save(std::int64_t step) {
  if (step == saved_step_) return;
  saved_step_ = step;
  if (!dir_) return trainer_.collect_state({}, run_state());
  dir_->set_state(RunState::saving);
  metrics_->sync();
  save_checkpoint(
      dir_->checkpoints(),
      {step, step * config_.train.batch_tokens, to_toml(config_), data_->tokenizer_json(),
       std::string(kBuildName)},
      [&](const PutTensor& put) { trainer_.collect_state(put, run_state()); },
      static_cast<int>(config_.checkpoint.keep), [&] { dir_->check_lease(); });
  dir_->set_state(RunState::running);
}

// Of the steps since the run was started last; an early end leaves fewer.
void Run::write_profile() {
  profiling_ = false;
  Tracer& tracer = *exec().tracer;
  if (traffic_.steps() <= StepProfile::kWarmup) {
    return say(fmt::format("no profile: no step after the {} that warm up", StepProfile::kWarmup));
  }
  tracer.record(false);
  mesh_.world().barrier({"profile"});  // so that all ranks measure at once, as they train
  const MachinePeaks peaks =
      measure_peak_ ? measure_peaks(machine_.exec(precision_of(config_))) : MachinePeaks{};
  if (dir_) {
    const StepProfile profile = profile_of(tracer, trainer_.plan(), traffic_.last_bytes(), peaks,
                                           describe_device(exec().device));
    dir_->write("profile.json", to_json(profile));
    for (const std::string& line : to_lines(profile)) say(line);
  }
  tracer.record(!config_.log.trace.empty());
}

// Of the first rank where the config says, of the others beside it.
void Run::write_trace() const {
  if (config_.log.trace.empty()) return;
  std::filesystem::path file = run_dir_ / config_.log.trace;
  if (const int rank = mesh_.world().rank(); rank > 0) {
    file.replace_filename(
        fmt::format("{}-rank-{}{}", file.stem().string(), rank, file.extension().string()));
  }
  machine_.tracer()->write(file);
}

void Run::finish(std::int64_t step) {
  if (profiling_) write_profile();
  if (evaluated_step_ != step) evaluate_now(step);
  save(step);
  write_trace();
  const std::vector<StepTraffic::Axis> traffic = traffic_.totals();
  if (!dir_) return;
  const RunResult result{step,
                         last_loss_.data<double>()[0],
                         last_eval_,
                         seconds_since(begin_),
                         trainer_.activations().high_water_bytes(),
                         machine_.scratch().high_water_bytes(),
                         layers_,
                         traffic,
                         !config_.log.trace.empty()
                             ? machine_.tracer()->totals(
                                   "step", static_cast<std::size_t>(config_.log.trace_warmup_steps))
                             : std::vector<Tracer::Total>{}};
  dir_->write_result(to_json(config_, trainer_, result));
  say(fmt::format("finished: {} steps in {}; everything is in {}", step,
                  human_duration(seconds_since(begin_)), run_dir_.string()));
}

}  // namespace mixspan
