#include "experiments/run/run_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/build.h"
#include "experiments/run/progress.h"

namespace mixspan {

namespace {

using Json = nlohmann::ordered_json;

Json transports_of(const Trainer& trainer, const std::vector<LayerTraffic>& layers) {
  Json all = Json::array();
  for (std::size_t l = 0; l < trainer.plan().layers.size(); ++l) {
    const LayerCost& layer = trainer.plan().layers[l];
    Json j{{"layer", l},
           {"span", layer.span.str()},
           {"transport", str(layer.exchange.cost.transport)},
           {"reason", layer.exchange.reason}};
    if (l < layers.size()) {
      j["planned_bytes"] = layers[l].planned;
      j["sent_bytes"] = layers[l].sent;
    }
    all.push_back(std::move(j));
  }
  return all;
}

Json traffic_of(const std::vector<StepTraffic::Axis>& axes) {
  Json all;
  for (const StepTraffic::Axis& axis : axes) {
    all[axis.name] = {{"bytes", axis.bytes}, {"wait_seconds", axis.wait_seconds}};
  }
  return all;
}

// Of one step: the first of the totals is the steps themselves.
Json time_of(const std::vector<Tracer::Total>& totals) {
  const auto steps = static_cast<double>(totals.front().count);
  Json all{{"steps", totals.front().count}};
  for (const Tracer::Total& total : totals) all[total.name] = total.seconds / steps;
  return all;
}

}  // namespace

std::vector<std::string> describe_run(const RunConfig& c, const Trainer& trainer,
                                      const SampleSource& data,
                                      const EvaluationSource* evaluation) {
  std::vector<std::string> spans;
  for (const AnySpan& span : layer_spans(c.model)) spans.push_back(span.str());
  std::vector<std::string> lines{
      fmt::format("model: {} layers, width {}, {} heads, {} parameters", c.model.layers,
                  c.model.width, c.model.heads,
                  human_count(static_cast<double>(trainer.model().params().count()))),
      fmt::format("spans: {}", fmt::join(spans, " ")), fmt::format("data: {}", data.describe()),
      fmt::format("evaluation: {}", evaluation ? evaluation->describe() : "none held out")};
  if (trainer.mesh().shape().size() > 1) {
    lines.push_back(fmt::format("mesh: {}", trainer.mesh().shape().str()));
  }
  for (const std::string& line : describe_transports(c, trainer.plan())) lines.push_back(line);
  return lines;
}

std::string to_json(const RunConfig& c, const Trainer& trainer, const RunResult& r) {
  Json j;
  j["steps"] = r.steps;
  j["tokens"] = r.steps * c.train.batch_tokens;
  j["loss"] = r.loss;
  if (r.eval) j["eval"] = Json::parse(to_json(*r.eval));
  j["parameters"] = trainer.model().params().count();
  j["seconds"] = r.seconds;
  j["activation_bytes"] = r.activation_bytes;
  j["scratch_bytes"] = r.scratch_bytes;
  const MeshShape& mesh = trainer.mesh().shape();
  if (mesh.size() > 1) {
    j["mesh"] = {{"dp", mesh.dp}, {"cp", mesh.cp}, {"tp", mesh.tp}};
    if (mesh.cp > 1) j["transports"] = transports_of(trainer, r.layers);
    j["traffic"] = traffic_of(r.traffic);
  }
  if (!r.time.empty()) j["time"] = time_of(r.time);
  j["build"] = std::string(kBuildName);
  return j.dump(2) + "\n";
}

}  // namespace mixspan
