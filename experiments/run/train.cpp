#include "experiments/run/train.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/build.h"
#include "data/loader.h"
#include "experiments/run/checkpoint.h"
#include "experiments/run/evaluate.h"
#include "experiments/run/machine.h"
#include "experiments/run/metrics.h"
#include "experiments/run/model_file.h"
#include "experiments/run/progress.h"
#include "experiments/run/run_directory.h"
#include "experiments/run/stop_signal.h"
#include "experiments/run/tensorboard.h"
#include "experiments/run/trainer.h"
#include "kernels/peak.h"

namespace mixspan {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::int64_t memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;  // Linux counts in KiB
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

// A longer run of the same settings is the same run, unless the schedule bends to its length.
std::vector<std::string> may_change(const RunConfig& c) {
  std::vector<std::string> keys{"log.*", "checkpoint.*", "eval.*", "train.max_time"};
  if (c.optimizer.schedule == "constant") keys.emplace_back("train.steps");
  return keys;
}

class Run {
 public:
  explicit Run(const TrainRequest& request);
  ExitCode go();

 private:
  ExitCode train_and_finish();
  std::string initial_weights(const std::filesystem::path& run_dir);
  void resume();
  void say(const std::string& line);
  void describe();
  void log_step(const StepReport& report);
  void evaluate_now(std::int64_t step);
  void save(std::int64_t step);
  void write_trace() const;
  void finish(std::int64_t step);

  Clock::time_point begin_ = Clock::now();
  Machine machine_;
  std::unique_ptr<SampleSource> data_;
  RunConfig config_;
  std::unique_ptr<EvaluationSource> eval_data_;
  Trainer trainer_;
  std::string started_from_;  // the checkpoint of train.init_from, read before anything is written
  RunDirectory dir_;
  ProgressPrinter progress_;
  double peak_flops_ = 0;
  std::int64_t step_ = 0;  // done
  std::int64_t saved_step_ = -1, evaluated_step_ = -1;
  double last_loss_ = 0, train_seconds_ = 0;
  double window_seconds_ = 0;  // of the steps since the last line
  std::int64_t window_steps_ = 0;
  std::optional<EvalMetrics> last_eval_;
  std::optional<MetricsWriter> metrics_;
  std::optional<TensorBoardWriter> board_;
};

Run::Run(const TrainRequest& r)
    : machine_(r.threads, !r.config.log.trace.empty()),
      data_(open_training(r.config.data, r.config.model.context,
                          static_cast<std::uint64_t>(r.config.train.seed))),
      config_(with_vocab(r.config, *data_)),
      eval_data_(open_evaluation(config_.data, config_.model.context, config_.eval.rows)),
      trainer_(machine_.exec(), config_, *data_),
      started_from_(initial_weights(r.run_dir)),
      dir_({r.run_dir, to_toml(config_), may_change(config_), config_.train.steps,
            std::string(kBuildName)}),
      progress_(r.out) {}

std::string Run::initial_weights(const std::filesystem::path& run_dir) {
  const std::string& from = config_.train.init_from;
  if (from.empty() || std::filesystem::exists(run_dir / "checkpoints" / "latest")) return "";
  const std::filesystem::path path = *find_checkpoint(from).path;
  read_tensors(Checkpoint::open(path), model_tensors(trainer_.model()));
  return path.string();
}

void Run::say(const std::string& line) {
  progress_.note(line);
  dir_.log(line);
}

void Run::describe() {
  std::vector<std::string> spans;
  for (const AnySpan& span : layer_spans(config_.model)) spans.push_back(span.str());
  say(fmt::format("mixspan {}, run {}", kBuildName, dir_.path().string()));
  say(fmt::format("model: {} layers, width {}, {} heads, {} parameters", config_.model.layers,
                  config_.model.width, config_.model.heads,
                  human_count(static_cast<double>(trainer_.model().params().count()))));
  say(fmt::format("spans: {}", fmt::join(spans, " ")));
  say(fmt::format("data: {}", data_->describe()));
  say(fmt::format("evaluation: {}", eval_data_ ? eval_data_->describe() : "none held out"));
  say(fmt::format(
      "batch: {} tokens = {} rows of {}, {} at a time; {} threads; peak {} FLOP/s (sgemm)",
      config_.train.batch_tokens, config_.batch_rows(), config_.model.context,
      trainer_.micro_rows(), machine_.exec().threads.size(), human_count(peak_flops_)));
}

void Run::resume() {
  const NewestCheckpoint newest = find_newest(dir_.checkpoints());
  for (const std::string& line : newest.damaged)
    say(fmt::format("damaged checkpoint passed over: {}", line));
  if (newest.path) {
    const Checkpoint checkpoint = Checkpoint::open(*newest.path);
    Tensor digest({1}, DType::i64);
    Tensor loss({1}, DType::f64);
    read_tensors(checkpoint, {{"data/digest", digest}, {"run/loss", loss}});
    last_loss_ = loss.data<double>()[0];
    require(
        static_cast<std::uint64_t>(digest.data<std::int64_t>()[0]) == data_->digest(),
        "data.train = \"{}\": is not the data that {} was trained on; wanted the same corpus, or "
        "another --run-dir",
        config_.data.train, newest.path->string());
    read_tensors(checkpoint, trainer_.state());
    step_ = saved_step_ = checkpoint.meta().step;
    say(fmt::format("going on from step {} ({})", step_, newest.path->string()));
  } else if (!started_from_.empty()) {
    say(fmt::format("starting from the weights of {}", started_from_));
  }
  metrics_.emplace(dir_.metrics(), newest.path ? step_ : -1);
  if (config_.log.tensorboard) board_.emplace(dir_.tensorboard(), newest.path ? step_ : -1);
}

ExitCode Run::go() {
  if (dir_.finished()) {
    progress_.note(fmt::format("{}: this run is finished; its result is in result.json",
                               dir_.path().string()));
    return kFinished;
  }
  try {
    return train_and_finish();
  } catch (const LeaseLost&) {
    throw;  // the files belong to somebody else now
  } catch (const std::exception& e) {
    dir_.log(fmt::format("failed: {}", e.what()));
    dir_.set_state(RunState::failed, e.what());
    throw;
  }
}

ExitCode Run::train_and_finish() {
  dir_.set_state(RunState::running);
  peak_flops_ = measure_sgemm_peak(machine_.exec());
  describe();
  resume();
  const StopSignal signals;
  while (step_ < config_.train.steps) {
    const Clock::time_point begin = Clock::now();
    const StepReport report = trainer_.step(step_);
    window_seconds_ += seconds_since(begin);
    step_ = report.step;
    ++window_steps_;
    last_loss_ = report.loss;
    if (due(config_.log.every_steps, step_) || step_ == config_.train.steps) log_step(report);
    if (due(config_.eval.every_steps, step_)) evaluate_now(step_);
    dir_.heartbeat(step_);
    const int signal = signals.requested();
    const bool out_of_time =
        !config_.train.max_time.empty() &&
        seconds_since(begin_) > static_cast<double>(parse_duration(config_.train.max_time).count());
    const bool stop = (signal != 0 || out_of_time) && step_ < config_.train.steps;
    if (stop || due(config_.checkpoint.every_steps, step_)) save(step_);
    if (stop) {
      const std::string reason = signal != 0 ? signal_name(signal) : "train.max_time is up";
      say(fmt::format("stopped at step {} of {} ({}), saved; the same command goes on", step_,
                      config_.train.steps, reason));
      write_trace();
      dir_.set_state(RunState::interrupted, reason);
      return kStopped;
    }
  }
  finish(step_);
  return kFinished;
}

void Run::log_step(const StepReport& r) {
  const double step_seconds = window_seconds_ / static_cast<double>(window_steps_);
  train_seconds_ += window_seconds_;
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
  metrics_->write(m);
  if (board_) {
    board_->scalar("train/loss", r.loss, r.step);
    board_->scalar("train/grad_norm", r.grad_norm, r.step);
    board_->scalar("train/lr", r.lr, r.step);
    board_->scalar("speed/tokens_per_s", tokens_per_s, r.step);
    if (m.mfu) board_->scalar("speed/mfu", *m.mfu, r.step);
  }
  progress_.update({r.step, config_.train.steps, r.loss, r.grad_norm, r.lr, tokens_per_s, m.mfu,
                    m.memory_bytes,
                    step_seconds * static_cast<double>(config_.train.steps - r.step)});
  window_seconds_ = 0;
  window_steps_ = 0;
}

void Run::evaluate_now(std::int64_t step) {
  if (!eval_data_) return;
  // The peak is what the machine can do, so what others left of it at the start may have been too
  // low.
  peak_flops_ = std::max(peak_flops_, measure_sgemm_peak(machine_.exec()));
  EvalMetrics m = evaluate(machine_.exec(), trainer_.model(), *eval_data_, config_.eval.buckets);
  m.step = step;
  m.tokens = step * config_.train.batch_tokens;
  m.data = config_.data.eval.empty() ? config_.data.train : config_.data.eval;
  metrics_->write(m);
  if (board_) {
    board_->scalar("eval/loss", m.loss, step);
    if (m.bits_per_byte) board_->scalar("eval/bits_per_byte", *m.bits_per_byte, step);
    if (m.accuracy) board_->scalar("eval/accuracy", *m.accuracy, step);
  }
  say(fmt::format("step {}: evaluation loss {:.4f}, perplexity {:.2f}{}, accuracy {:.1f} %", step,
                  m.loss, std::exp(m.loss),
                  m.bits_per_byte ? fmt::format(", {:.3f} bits per byte", *m.bits_per_byte) : "",
                  100 * m.accuracy.value_or(0)));
  evaluated_step_ = step;
  last_eval_ = std::move(m);
}

void Run::save(std::int64_t step) {
  if (step == saved_step_) return;
  dir_.set_state(RunState::saving);
  metrics_->sync();
  Tensor digest({1}, DType::i64);
  digest.data<std::int64_t>()[0] = static_cast<std::int64_t>(data_->digest());
  std::vector<NamedConstView> tensors;
  for (const auto& [name, view] : trainer_.state()) tensors.push_back({name, view});
  tensors.push_back({"data/digest", digest});
  Tensor loss({1}, DType::f64);
  loss.data<double>()[0] = last_loss_;
  tensors.push_back({"run/loss", loss});
  save_checkpoint(dir_.checkpoints(),
                  {step, step * config_.train.batch_tokens, to_toml(config_),
                   data_->tokenizer_json(), std::string(kBuildName)},
                  tensors, static_cast<int>(config_.checkpoint.keep), [&] { dir_.check_lease(); });
  saved_step_ = step;
  dir_.set_state(RunState::running);
}

void Run::write_trace() const {
  if (machine_.tracer() != nullptr) machine_.tracer()->write(dir_.path() / config_.log.trace);
}

void Run::finish(std::int64_t step) {
  if (evaluated_step_ != step) evaluate_now(step);
  save(step);
  write_trace();
  nlohmann::ordered_json result;
  result["steps"] = step;
  result["tokens"] = step * config_.train.batch_tokens;
  result["loss"] = last_loss_;
  if (last_eval_) result["eval"] = nlohmann::ordered_json::parse(to_json(*last_eval_));
  result["parameters"] = trainer_.model().params().count();
  result["seconds"] = seconds_since(begin_);
  result["activation_bytes"] = trainer_.activations().high_water_bytes();
  result["scratch_bytes"] = machine_.scratch().high_water_bytes();
  result["build"] = std::string(kBuildName);
  dir_.write_result(result.dump(2) + "\n");
  say(fmt::format("finished: {} steps in {}; everything is in {}", step,
                  human_duration(seconds_since(begin_)), dir_.path().string()));
}

}  // namespace

ExitCode train(const TrainRequest& request) { return Run(request).go(); }

}  // namespace mixspan
