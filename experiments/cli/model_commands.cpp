// eval and generate: what a trained model knows, and what it writes.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "core/error.h"
#include "experiments/cli/commands.h"
#include "experiments/run/device_choice.h"
#include "experiments/run/evaluate.h"
#include "experiments/run/machine.h"
#include "experiments/run/model_file.h"

namespace mixspan {

namespace {

LoadedModel load_and_note(const std::filesystem::path& path, const Exec& ex) {
  LoadedModel loaded = load_model(path, ex);
  for (const std::string& note : loaded.notes) {
    fmt::print(stderr, "mixspan: damaged checkpoint passed over: {}\n", note);
  }
  return loaded;
}

std::unique_ptr<EvaluationSource> open_data(const EvalArgs& a, const LoadedModel& loaded,
                                            std::int64_t T) {
  const RunConfig& c = loaded.config;
  std::unique_ptr<EvaluationSource> source;
  if (a.data.empty()) {
    require(!c.data.train.empty(),
            "--data is missing; {} was not trained here, so it held out nothing", a.model.string());
    source = open_evaluation(c.data, T);
    require(source != nullptr, "--data is missing, and {} held out nothing", a.model.string());
  } else {
    source = open_evaluation(a.data, T, c.data.isolate_documents, 0);
  }
  const std::string name = a.data.empty() ? c.data.train : a.data;
  const std::string tokenizer = loaded.tokenizer ? loaded.tokenizer->to_json() : "";
  require(source->tokenizer_json() == tokenizer,
          "--data {}: its tokens are not this model's; wanted a corpus made with the model's "
          "tokenizer ({})",
          name, loaded.tokenizer ? loaded.tokenizer->name() : c.data.train);
  require(source->vocab_size() <= c.model.vocab,
          "--data {}: has tokens up to {}, the model knows {}", name, source->vocab_size(),
          c.model.vocab);
  return source;
}

void print_table(const EvalMetrics& m, const std::string& what) {
  fmt::print("{}\n  context {}: loss {:.4f}, perplexity {:.2f}{}, accuracy {:.2f} %, {} targets\n",
             what, m.context, m.loss, std::exp(m.loss),
             m.bits_per_byte ? fmt::format(", {:.4f} bits per byte", *m.bits_per_byte) : "",
             100 * m.accuracy.value_or(0), m.targets);
  fmt::print("  {:>16}  {:>8}  {:>10}  {:>10}\n", "positions", "loss", "perplexity", "targets");
  for (const PositionLoss& b : m.by_position) {
    fmt::print("  {:>16}  {:8.4f}  {:10.2f}  {:10}\n", fmt::format("{}..{}", b.begin, b.end - 1),
               b.loss, std::exp(b.loss), b.targets);
  }
}

std::string read_prompt(const std::string& prompt) {
  if (!prompt.starts_with('@')) return prompt;
  const std::string path = prompt.substr(1);
  std::ifstream file(path, std::ios::binary);
  require(file.good() && !std::filesystem::is_directory(path),
          "--prompt {}: the file cannot be read; wanted text, or @ and the name of a text file",
          prompt);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

}  // namespace

ExitCode eval_command(const EvalArgs& a) {
  Machine machine(0, false, 0, chosen_device(a.device, "--device"));
  const LoadedModel loaded = load_and_note(a.model, machine.exec());
  std::vector<std::int64_t> contexts = a.contexts;
  if (contexts.empty()) contexts.push_back(loaded.config.model.context);
  require(a.buckets >= 1, "--buckets {}: wanted at least 1", a.buckets);
  for (std::int64_t T : contexts) {
    require(T >= 2 && T <= loaded.config.model.context,
            "--context {}: wanted 2 to {}, the model's context", T, loaded.config.model.context);
  }
  for (std::int64_t T : contexts) {
    const auto source = open_data(a, loaded, T);
    EvalMetrics m = evaluate(machine.exec(loaded.precision), *loaded.model, *source, a.buckets);
    m.step = loaded.step;
    m.tokens = loaded.tokens_seen;
    m.data = a.data.empty() ? loaded.config.data.train : a.data;
    if (a.json) {
      fmt::print("{}\n", to_json(m));
    } else {
      print_table(m, loaded.checkpoint.string() + " on " + source->describe());
    }
  }
  return kFinished;
}

ExitCode generate_command(const GenerateArgs& a) {
  Machine machine(0, false, 0, chosen_device(a.device, "--device"));
  const LoadedModel loaded = load_and_note(a.model, machine.exec());
  require(loaded.tokenizer != nullptr,
          "{}: was trained on {}, which is not text; nothing can be generated", a.model.string(),
          loaded.config.data.train);
  const std::vector<std::int32_t> prompt =
      loaded.tokenizer->encode(read_prompt(a.prompt), SpecialTokens::as_text);
  GenerateOptions options = a.options;
  const std::int64_t room = loaded.config.model.context - static_cast<std::int64_t>(prompt.size());
  if (!a.max_tokens_given && room >= 1) options.max_tokens = std::min(options.max_tokens, room);
  options.vocab = loaded.tokenizer->vocab_size();
  options.end_of_text = loaded.tokenizer->end_of_text();
  const auto print = [&](std::span<const std::int32_t> tokens) {
    const std::string text = loaded.tokenizer->decode(tokens);
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  bool first = true;
  generate(machine.exec(loaded.precision), *loaded.model, prompt, options, [&](std::int32_t token) {
    if (first) print(prompt);  // only once the prompt is known to be good
    first = false;
    print({&token, 1});
  });
  std::fputc('\n', stdout);
  return kFinished;
}

}  // namespace mixspan
