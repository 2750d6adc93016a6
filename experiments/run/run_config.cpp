#include "experiments/run/run_config.h"

#include <charconv>

#include "core/cpu.h"
#include "core/error.h"
#include "core/text.h"

namespace mixspan {

namespace {

constexpr const char* kSpans = "full, sliding:W, block:B or block-prev:B";
constexpr const char* kDurations =
    "seconds, or a time such as \"90s\", \"15m\", \"2h30m\", \"1d12h\"";

std::string check_span(const ConfigValue& value) {
  parse_span(std::get<std::string>(value));
  return "";
}

std::string check_spans(const ConfigValue& value) {
  for (const std::string& span : std::get<std::vector<std::string>>(value)) parse_span(span);
  return "";
}

std::string check_max_time(const ConfigValue& value) {
  const auto& text = std::get<std::string>(value);
  if (!text.empty()) parse_duration(text);
  return "";
}

void describe_model(ConfigSchema& schema, ModelConfig& m) {
  schema.section("model", "What is trained: sizes, and which tokens each layer may look back at.");
  schema.field("layers", &m.layers, "Transformer blocks.", {.min = 1, .max = 4096});
  schema.field("width", &m.width, "Size of the hidden state.", {.min = 8, .max = 131072});
  schema.field("heads", &m.heads,
               "Attention heads; width / heads, the head size, is a multiple of 8 from 8 to 256.",
               {.min = 1, .max = 4096});
  schema.field("mlp_width", &m.mlp_width, "Hidden size of the MLP; 0 means 4 * width.",
               {.min = 0, .max = 1048576});
  schema.field("context", &m.context, "Tokens in a training sequence; the longest one.",
               {.min = 2, .max = 16777216});
  schema.field("vocab", &m.vocab, "Tokens in the vocabulary; 0 means the corpus's vocabulary.",
               {.min = 0, .max = 16777216});
  schema.field(
      "span", &m.span,
      "How far back a token looks in every layer that is not full: everything, the last W "
      "tokens (itself included), its own block of B tokens, or its own and the one before.",
      {.allowed = kSpans, .check = check_span});
  schema.field("full_layers", &m.full_layers,
               "The layers with full attention; layer 0 is next to the embeddings.",
               {.allowed = "none, all, bottom:N, middle:N, top:N, spaced:N or a list such as "
                           "\"0,3,5\""});
  schema.field("spans", &m.spans,
               "One span for each layer, layer 0 first; replaces span and full_layers.",
               {.allowed = fmt::format("a list of spans, each {}", kSpans), .check = check_spans});
  schema.field("attention_scale", &m.attention_scale,
               "What scores are multiplied by: 1/sqrt(head size), or 1 as in GPT-Neo.",
               {.one_of = {"inverse-sqrt", "one"}});
  schema.field("qkv_bias", &m.qkv_bias,
               "Biases on queries, keys and values: GPT-2 has them, GPT-Neo has not.");
  schema.field("layer_norm_eps", &m.layer_norm_eps, "Added to the variance in layer norm.",
               {.above = 0, .below = 1});
  schema.field("init_std", &m.init_std, "Standard deviation of the initial weights.",
               {.min = 0, .max = 10});
  schema.field("recompute", &m.recompute,
               "What backward computes again to save memory; the losses are the same. selective: "
               "norms and GELU; products: all but attention, for long contexts; full: everything.",
               {.one_of = {"none", "selective", "products", "full"}});
}

void describe_data(ConfigSchema& schema, DataConfig& d) {
  schema.section("data", "What the model learns from.");
  schema.field("train", &d.train,
               "A corpus made by `mixspan prepare`, or a task such as \"synthetic:recall\".",
               {.required = true, .example = "\"corpus.h5\""});
  schema.field("eval", &d.eval,
               "Evaluation data, as in train; \"\" means what eval_fraction holds out.");
  schema.field("eval_fraction", &d.eval_fraction,
               "Share of the documents of train that is held out for evaluation.",
               {.min = 0, .below = 1});
  schema.field("isolate_documents", &d.isolate_documents,
               "Whether a token never looks past the beginning of its own document.");
}

void describe_train(ConfigSchema& schema, RunConfig& c) {
  RunConfig::Train& t = c.train;
  schema.section("train", "How long, and in which pieces.");
  schema.field("steps", &t.steps, "Updates of the weights.", {.min = 1});
  schema.field("batch_tokens", &t.batch_tokens,
               "Tokens in a step, over all ranks; a multiple of model.context.",
               {.min = 1, .max = 1e12});
  schema.field("micro_rows", &t.micro_rows,
               "Sequences computed at a time: memory grows with it; divides the sequences of a "
               "step. 0 means that the trainer chooses.",
               {.min = 0});
  schema.field("seed", &t.seed, "Of the initial weights and of the order of the data.", {.min = 0});
  schema.field("max_grad_norm", &t.max_grad_norm,
               "Longer gradients are scaled down to this norm; 0 means never.", {.min = 0});
  schema.field("precision", &t.precision,
               "What matrix products and attention multiply. With bf16 the weights that the "
               "optimizer updates, and all sums, are fp32 all the same.",
               {.one_of = {"fp32", "bf16"}});
  schema.field("max_time", &t.max_time,
               "After this long the run saves a checkpoint and stops with exit code 75; \"\" means "
               "no limit.",
               {.allowed = kDurations, .check = check_max_time});
  schema.field("init_from", &t.init_from,
               "A run directory or checkpoint (also an imported one) whose weights to start from; "
               "\"\" means random ones. Spans may differ from those it was trained with.");

  RunConfig::Optimizer& o = c.optimizer;
  schema.section("optimizer", "AdamW, and its learning rate over the steps.");
  schema.field("lr", &o.lr, "The peak learning rate.", {.above = 0});
  schema.field("beta1", &o.beta1, "Decay of the mean of gradients.", {.min = 0, .below = 1});
  schema.field("beta2", &o.beta2, "Decay of the mean of squared gradients.",
               {.min = 0, .below = 1});
  schema.field("eps", &o.eps, "Added to the root of the mean square.", {.above = 0});
  schema.field("weight_decay", &o.weight_decay, "Applied to matrices only.", {.min = 0});
  schema.field("schedule", &o.schedule, "How the learning rate falls after the warm-up.",
               {.one_of = {"cosine", "linear", "constant"}});
  schema.field(
      "warmup_steps", &o.warmup_steps,
      "Steps in which the learning rate rises; -1 means a tenth of the steps, at most 200.",
      {.min = -1});
  schema.field("final_lr_fraction", &o.final_lr_fraction,
               "The last learning rate over the peak; a constant schedule ignores it.",
               {.min = 0, .max = 1});
}

void describe_parallel(ConfigSchema& schema, ParallelConfig& p) {
  schema.section("parallel", "The mesh of ranks; their product is the number of ranks.");
  schema.field("dp", &p.dp, "Parts of the batch.", {.min = 1, .max = 65536});
  schema.field("cp", &p.cp, "Parts of the sequence.", {.min = 1, .max = 4096});
  schema.field("tp", &p.tp, "Parts of heads, matrices and vocabulary.", {.min = 1, .max = 4096});
  schema.field("layout", &p.layout,
               "Which positions a part of the sequence has: one chunk, or one from either end, "
               "which evens out the work of full attention.",
               {.one_of = {"zigzag", "contiguous"}});
  schema.field("transport", &p.transport,
               "How keys and values get to the parts of the sequence that read them; auto chooses "
               "for each layer, as `mixspan plan` shows.",
               {.one_of = {"auto", "halo", "ring", "all_to_all", "gather"}});
  schema.field("sequence_parallel", &p.sequence_parallel,
               "Whether tp ranks also divide the positions between matrix products, to save "
               "memory.");
  schema.field("timeout_s", &p.timeout_s,
               "Seconds that a rank waits for another before the run ends, saying which one is "
               "missing; 0 means for ever.",
               {.min = 0});
  schema.field("zero", &p.zero,
               "Whether the dp x cp ranks divide the optimizer's state among them (ZeRO-1).");
}

void describe_rest(ConfigSchema& schema, RunConfig& c) {
  schema.section("kernels",
                 "Which of several ways to compute the same, where a person wants to choose.");
  schema.field("attention", &c.kernels.attention,
               "The attention kernel on a device: plain loops, tensor cores by mma.sync (bf16), "
               "tensor cores by wgmma (bf16, Hopper); auto takes the fastest that can do it.",
               {.one_of = {"auto", "naive", "mma", "wgmma"}});
  schema.field("attention_backward", &c.kernels.attention_backward,
               "How wgmma computes the gradients of attention: by two kernels that compute scores "
               "twice, or by one that adds up the queries' gradients in memory, in a fixed order; "
               "auto is split.",
               {.one_of = {"auto", "split", "fused"}});
  schema.field("fuse_bias_gradient", &c.kernels.fuse_bias_gradient,
               "Whether cuBLASLt sums the gradients of biases inside the products that give those "
               "of weights; on a device.");
  schema.field("fuse_gelu", &c.kernels.fuse_gelu,
               "Whether cuBLASLt computes GELU and its gradient inside the products before and "
               "after it; on a device. The run first checks there that it is the tanh form.");
  schema.field("tune_products", &c.kernels.tune_products,
               "Whether to time cuBLASLt's algorithms for each matrix product on a device and take "
               "the fastest instead of its first suggestion. The run keeps its choices in "
               "algorithms.txt, so it goes on with the same bits; a repeat elsewhere may choose "
               "others, and then differs by rounding.");

  schema.section("checkpoint", "What a stopped run goes on from.");
  schema.field("every_steps", &c.checkpoint.every_steps,
               "Steps between checkpoints; 0 means only at the end and on a signal.", {.min = 0});
  schema.field("keep", &c.checkpoint.keep, "Newest checkpoints to keep; 0 means all.", {.min = 0});

  schema.section("eval", "Loss on the evaluation data during training.");
  schema.field("every_steps", &c.eval.every_steps,
               "Steps between evaluations; 0 means only at the end.", {.min = 0});
  schema.field("rows", &c.eval.rows,
               "Sequences to evaluate on, spread evenly over the data; 0 means all.", {.min = 0});
  schema.field("buckets", &c.eval.buckets,
               "Equal parts of the context whose losses are reported apart.",
               {.min = 1, .max = 1024});

  schema.section("log", "What a run writes about itself.");
  schema.field("every_steps", &c.log.every_steps, "Steps between lines of metrics.", {.min = 1});
  schema.field("tensorboard", &c.log.tensorboard, "Whether to write TensorBoard event files.");
  schema.field("trace", &c.log.trace,
               "File in the run directory for a Chrome trace of the first steps; \"\" means none.");
  schema.field(
      "trace_warmup_steps", &c.log.trace_warmup_steps,
      "Traced steps that are left out where result.json says what a step's time was spent on.",
      {.min = 0, .max = 1000000});
}

}  // namespace

ConfigSchema schema_of(RunConfig& config) {
  ConfigSchema schema;
  schema.field(
      "device", &config.device,
      "Where the model is computed; auto means, of one rank, on a GPU where there is one "
      "that this build can use, else on the CPU. Several ranks are on GPUs with cuda "
      "alone: those of a host take its GPUs in turn, and share them where there are fewer.",
      {.one_of = {"auto", "cpu", "cuda"}});
  describe_model(schema, config.model);
  describe_data(schema, config.data);
  describe_train(schema, config);
  describe_parallel(schema, config.parallel);
  describe_rest(schema, config);
  return schema;
}

ConfigSchema schema_of(ModelConfig& config) {
  ConfigSchema schema;
  describe_model(schema, config);
  return schema;
}

RunConfig load_run_config(const std::filesystem::path& path, const std::vector<std::string>& sets,
                          Purpose purpose) {
  RunConfig config;
  ConfigSchema schema = schema_of(config);
  schema.read_file(path);
  for (const std::string& assignment : sets) schema.set(assignment);
  const std::string where = one_line(path.string(), 400);
  schema.check_required(where);
  try {
    validate(config, purpose);
  } catch (const InputError& error) {
    refuse("{}: {}", schema.place_of(error.what(), where), error.what());
  }
  return config;
}

void validate(const RunConfig& c, Purpose purpose) {
  validate(c.model);
  const std::int64_t tokens = c.train.batch_tokens, context = c.model.context;
  require(tokens % context == 0,
          "train.batch_tokens = {} is not a multiple of model.context = {}; wanted one, such as {}",
          tokens, context, std::max<std::int64_t>(1, (tokens + context / 2) / context) * context);
  require(c.optimizer.warmup_steps <= c.train.steps,
          "optimizer.warmup_steps = {} is more than train.steps = {}; wanted at most that",
          c.optimizer.warmup_steps, c.train.steps);
  require(c.eval.buckets <= context,
          "eval.buckets = {} is more than the {} positions of model.context; wanted at most that",
          c.eval.buckets, context);
  if (purpose == Purpose::plan) return;
  const std::optional<std::string> problem = mesh_problem(c.model, c.parallel, c.step_shape());
  require(!problem, "{}", problem.value_or(""));
  require_precision(c, has_avx512_bf16());
  require(c.kernels.attention == "auto" || c.device != "cpu",
          "kernels.attention = \"{}\": a CPU has one kernel only; wanted \"auto\"",
          c.kernels.attention);
  require(c.kernels.attention_backward == "auto" || c.device != "cpu",
          "kernels.attention_backward = \"{}\": a CPU has one way only; wanted \"auto\"",
          c.kernels.attention_backward);
  for (const auto& [key, value] : {std::pair("fuse_bias_gradient", c.kernels.fuse_bias_gradient),
                                   std::pair("fuse_gelu", c.kernels.fuse_gelu),
                                   std::pair("tune_products", c.kernels.tune_products)}) {
    require(!value || c.device != "cpu",
            "kernels.{} = true: a CPU has one way to multiply only; wanted false", key);
  }
}

void require_precision(const RunConfig& c, bool cpu_has_bf16) {
  require(c.train.precision == "fp32" || c.device != "cpu" || cpu_has_bf16,
          "train.precision = \"bf16\": this processor ({}) has no AVX512-BF16; wanted \"fp32\"",
          cpu_name());
}

Precision precision_of(const RunConfig& c) {
  return c.train.precision == "bf16" ? Precision::bf16 : Precision::fp32;
}

std::string to_toml(const RunConfig& config) {
  RunConfig copy = config;
  return schema_of(copy).to_toml();
}

std::chrono::seconds parse_duration(std::string_view text) {
  constexpr std::string_view kUnits = "dhms";
  constexpr std::int64_t kSeconds[] = {86400, 3600, 60, 1};
  constexpr std::int64_t kLongest = std::int64_t{100} * 366 * 86400;
  std::int64_t total = 0;
  std::size_t smallest_so_far = 0;
  std::string_view rest = text;
  const bool plain = text.find_first_not_of("0123456789") == std::string_view::npos;
  while (!rest.empty()) {
    std::int64_t n = -1;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), n);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    const std::size_t unit = plain ? 3 : rest.empty() ? kUnits.npos : kUnits.find(rest[0]);
    const bool good = error == std::errc{} && n >= 0 && n <= kLongest && unit != kUnits.npos &&
                      unit >= smallest_so_far;
    require(good, "time \"{}\": wanted {}", text, kDurations);
    total += n * kSeconds[unit];
    smallest_so_far = unit + 1;
    rest.remove_prefix(plain ? 0 : 1);
  }
  require(total >= 1 && total <= kLongest, "time \"{}\": wanted {}, from 1 second to 100 years",
          text, kDurations);
  return std::chrono::seconds(total);
}

}  // namespace mixspan
