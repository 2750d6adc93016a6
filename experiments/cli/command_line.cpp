// The only file that knows CLI11.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <new>

#include "core/build.h"
#include "core/error.h"
#include "core/text.h"
#include "experiments/cli/commands.h"
#include "experiments/run/lease.h"
#include "experiments/sweep/launch_config.h"

namespace mixspan {

namespace {

using Action = std::function<ExitCode()>;

// What every subcommand gets: --help with an example at its foot, and an action to run.
CLI::App* add_command(CLI::App& app, const char* name, const char* help, const char* example) {
  CLI::App* command = app.add_subcommand(name, help);
  command->footer(std::string("Example:\n  ") + example);
  return command;
}

void add_sets(CLI::App* command, std::vector<std::string>& sets) {
  command->add_option("--set", sets, "section.key=value: overrides one key; may be repeated")
      ->take_all()
      ->expected(1);
}

void add_prepare(CLI::App& app, Action& action) {
  CLI::App* c = add_command(
      app, "prepare", "Turn text into a corpus of tokens",
      "mixspan prepare book.txt papers/ notes.jsonl --out corpus.h5 --tokenizer bpe:tok.json");
  auto a = std::make_shared<PrepareArgs>();
  c->add_option("INPUT", a->inputs, "Text files, .gz, .jsonl (key \"text\"), or folders of these")
      ->required();
  c->add_option("--out", a->out, "The corpus to write (HDF5)")->required();
  c->add_option("--tokenizer", a->tokenizer, "byte | bpe:FILE | hf:DIR")->required();
  c->callback([a, &action] { action = [a] { return prepare_command(*a); }; });
}

void add_tokenizer(CLI::App& app, Action& action) {
  CLI::App* t = app.add_subcommand("tokenizer", "Work on tokenizers");
  t->require_subcommand(1);
  CLI::App* c = add_command(*t, "train", "Learn a byte-level BPE vocabulary from text",
                            "mixspan tokenizer train papers/ --vocab 4096 --out tok.json");
  auto a = std::make_shared<TokenizerTrainArgs>();
  c->add_option("INPUT", a->inputs, "Text files, .gz, .jsonl (key \"text\"), or folders of these")
      ->required();
  c->add_option("--vocab", a->vocab, "Tokens in the vocabulary, 257 or more")
      ->capture_default_str();
  c->add_option("--out", a->out, "The tokenizer.json to write")->required();
  c->callback([a, &action] { action = [a] { return tokenizer_train_command(*a); }; });
}

void add_train(CLI::App& app, Action& action) {
  CLI::App* c = add_command(
      app, "train", "Train a model; goes on where an earlier call stopped",
      "mixspan train run.toml --set model.full_layers=bottom:2 --run-dir runs/bottom-2");
  auto a = std::make_shared<TrainArgs>();
  c->add_option("CONFIG", a->config,
                "The run's config (TOML); keys are described in docs/config.md")
      ->required();
  add_sets(c, a->sets);
  c->add_option("--run-dir", a->run_dir, "Where the run lives; default runs/NAME-OF-CONFIG");
  c->add_option("--max-time", a->max_time,
                "Save and stop with exit code 75 after this long, e.g. 2h30m");
  c->add_option("--ranks", a->ranks, "Ranks to run as threads of this process")
      ->capture_default_str();
  c->add_flag("--profile", a->profile,
              "Print where the time of the first steps went, part by part, and write profile.json");
  c->add_flag("--print-config", a->print_config, "Print the resolved config and exit");
  c->callback([a, &action] { action = [a] { return train_command(*a); }; });
}

void add_plan(CLI::App& app, Action& action) {
  CLI::App* c = add_command(app, "plan", "Memory, bytes moved and time of a step, before a run",
                            "mixspan plan run.toml --machine experiments/recipes/machines/"
                            "h100x8.toml --set parallel.cp=8");
  auto a = std::make_shared<PlanArgs>();
  c->add_option("CONFIG", a->config, "The run's config (TOML)")->required();
  add_sets(c, a->sets);
  c->add_option("--ranks", a->ranks, "Ranks there are; default: as many as the mesh has")
      ->check(CLI::Range(1, 1 << 20));
  c->add_option("--machine", a->machine,
                "What it would run on (TOML); default: this machine, measured");
  c->add_flag("--json", a->json, "Print one JSON object instead of a table");
  c->callback([a, &action] { action = [a] { return plan_command(*a); }; });
}

void add_report(CLI::App& app, Action& action) {
  CLI::App* c = add_command(app, "report", "Tables and figures from runs, as one HTML file",
                            "mixspan report runs/placement --out placement.html");
  auto a = std::make_shared<ReportArgs>();
  c->add_option("DIR", a->folder, "A sweep's folder, or any folder with runs in it")->required();
  c->add_option("--out", a->out,
                "The HTML file; tables (CSV) and figures (SVG) go into a folder beside it; default "
                "DIR/report.html");
  c->callback([a, &action] { action = [a] { return report_command(*a); }; });
}

constexpr const char* kSweepFolder = "The sweep's folder, its --out";

void add_sweep_care(CLI::App& sweep, Action& action) {
  CLI::App* status = add_command(sweep, "status", "How every run of a sweep stands",
                                 "mixspan sweep status runs/placement --json");
  auto s = std::make_shared<SweepStatusArgs>();
  status->add_option("DIR", s->folder, kSweepFolder)->required();
  status->add_flag("--json", s->json, "Print one JSON object instead of a table");
  status->callback([s, &action] { action = [s] { return sweep_status_command(*s); }; });

  CLI::App* cancel = add_command(sweep, "cancel", "Stop what runs, after it has saved",
                                 "mixspan sweep cancel runs/placement");
  auto c = std::make_shared<SweepCancelArgs>();
  cancel->add_option("DIR", c->folder, kSweepFolder)->required();
  cancel->callback([c, &action] { action = [c] { return sweep_cancel_command(*c); }; });

  CLI::App* retry = add_command(sweep, "retry", "Run what failed or was interrupted again",
                                "mixspan sweep retry runs/placement full_layers=top-1,seed=2");
  auto r = std::make_shared<SweepRetryArgs>();
  retry->add_option("DIR", r->folder, kSweepFolder)->required();
  retry->add_option("NAME", r->names, "These runs only");
  retry->add_flag("--wait", r->wait, "With slurm: show the table until all jobs have ended");
  retry->callback([r, &action] { action = [r] { return sweep_retry_command(*r); }; });
}

// Everything but the file that `sweep` and `scale` take.
void add_launch_options(CLI::App* c, SweepArgs& a) {
  add_sets(c, a.sets);
  c->add_option("--launcher", a.launcher, "local: processes of this machine; slurm: a job array")
      ->check(CLI::IsMember({"local", "slurm"}))
      ->capture_default_str();
  c->add_option("--out", a.out, "Where the runs live; default runs/NAME-OF-FILE");
  c->add_option("--jobs", a.jobs, "Runs at a time; default: what the file says")
      ->check(CLI::Range(std::int64_t{1}, kMostJobs));
  c->add_flag("--dry-run", a.dry_run, "Print the runs with their cost, memory and time, and exit");
  c->add_option("--machine", a.machine,
                "What a dry run plans for (TOML); default: this machine, measured");
  c->add_flag("--wait", a.wait, "With slurm: show the table until all jobs have ended");
}

// Before status, cancel or retry they would mean nothing.
void refuse_options_of_sweep(const CLI::App& sweep) {
  const std::string command = sweep.get_subcommands()[0]->get_name();
  for (const CLI::Option* option : sweep.get_options()) {
    require(option->count() == 0, "sweep {}: takes no {}; wanted mixspan sweep {} DIR", command,
            option->get_name(), command);
  }
}

void add_sweep(CLI::App& app, Action& action) {
  CLI::App* c = add_command(app, "sweep", "Run many configs; goes on where an earlier call stopped",
                            "mixspan sweep placement.toml --dry-run\n"
                            "  mixspan sweep placement.toml --jobs 2 --set train.steps=500\n"
                            "  mixspan sweep placement.toml --launcher slurm\n"
                            "  mixspan sweep status runs/placement");
  auto a = std::make_shared<SweepArgs>();
  c->add_option("SWEEP", a->file, "The sweep file (TOML)");
  add_launch_options(c, *a);
  c->callback([a, c, &action] {  // comes after that of a subcommand
    if (c->get_subcommands().empty()) {
      action = [a] { return sweep_command(*a); };
    } else {
      refuse_options_of_sweep(*c);
    }
  });
  c->require_subcommand(0, 1);
  add_sweep_care(*c, action);
}

void add_scale(CLI::App& app, Action& action) {
  CLI::App* c =
      add_command(app, "scale", "Measure how time and memory grow with the length of a sequence",
                  "mixspan scale lengths.toml --dry-run\n"
                  "  mixspan scale lengths.toml");
  auto a = std::make_shared<SweepArgs>();
  c->add_option("STUDY", a->file, "The study (TOML): a sweep file with [scale]")->required();
  add_launch_options(c, *a);
  c->callback([a, &action] { action = [a] { return scale_command(*a); }; });
}

void add_info(CLI::App& app, Action& action) {
  CLI::App* c = add_command(app, "info", "Version, processor and measured peaks",
                            "mixspan info --measure this-machine.toml");
  auto a = std::make_shared<InfoArgs>();
  c->add_option("--measure", a->measure, "Write a machine file for `mixspan plan` here");
  c->callback([a, &action] { action = [a] { return info_command(*a); }; });
}

constexpr const char* kDeviceHelp =
    "Where to compute: cpu, cuda, or auto: cuda where there is a GPU that can be used";

void add_eval(CLI::App& app, Action& action) {
  CLI::App* c =
      add_command(app, "eval", "Loss and perplexity, also by position in the text",
                  "mixspan eval runs/bottom-2 --data held-out.h5 --context 512 --context 1024");
  auto a = std::make_shared<EvalArgs>();
  c->add_option("MODEL", a->model, "A run directory or a checkpoint")->required();
  c->add_option("--data", a->data, "A corpus or synthetic:TASK; default: what the run held out");
  c->add_option("--context", a->contexts,
                "Tokens a row; may be repeated; default: the model's context")
      ->take_all()
      ->expected(1);
  c->add_option("--buckets", a->buckets, "Parts of the context that losses are reported by")
      ->capture_default_str();
  c->add_option("--device", a->device, kDeviceHelp)->capture_default_str();
  c->add_flag("--json", a->json, "Print one JSON object for each context instead of a table");
  c->callback([a, &action] { action = [a] { return eval_command(*a); }; });
}

void add_generate(CLI::App& app, Action& action) {
  CLI::App* c = add_command(app, "generate", "Write text that goes on from a prompt",
                            "mixspan generate runs/bottom-2 --prompt \"The list of\" --max-tokens "
                            "100 --temperature 0.8 --top-p 0.95");
  auto a = std::make_shared<GenerateArgs>();
  SamplerOptions& s = a->options.sampler;
  c->add_option("MODEL", a->model, "A run directory or a checkpoint")->required();
  c->add_option("--prompt", a->prompt, "The text to go on from, or @FILE")->required();
  CLI::Option* max =
      c->add_option("--max-tokens", a->options.max_tokens,
                    "Tokens to write at most; default 200, or what the model's context leaves");
  c->add_option("--temperature", s.temperature, "0: always the likeliest token")
      ->capture_default_str();
  c->add_option("--top-k", s.top_k, "Only the k likeliest tokens; 0: all")->capture_default_str();
  c->add_option("--top-p", s.top_p, "Only the likeliest tokens that together have this probability")
      ->capture_default_str();
  c->add_option("--seed", s.seed, "The same seed gives the same text")->capture_default_str();
  c->add_option("--device", a->device, kDeviceHelp)->capture_default_str();
  c->callback([a, max, &action] {
    a->max_tokens_given = max->count() > 0;
    action = [a] { return generate_command(*a); };
  });
}

void add_exchange(CLI::App& app, Action& action) {
  CLI::App* in =
      add_command(app, "import", "Make a checkpoint from a Hugging Face GPT-Neo or GPT-2 folder",
                  "mixspan import gpt-neo-125m/ --out imported");
  auto i = std::make_shared<ImportArgs>();
  in->add_option("HF_DIR", i->folder, "Folder with config.json, safetensors and tokenizer")
      ->required();
  in->add_option("--out", i->out, "The checkpoint to write")->required();
  in->add_option("--context", i->context,
                 "A longer context than the model's own: its position table is repeated")
      ->check(CLI::Range(1, 1 << 24));
  in->callback([i, &action] { action = [i] { return import_command(*i); }; });

  CLI::App* out =
      add_command(app, "export", "Make a Hugging Face folder from a run or a checkpoint",
                  "mixspan export runs/bottom-2 --out hf-model/");
  auto e = std::make_shared<ExportArgs>();
  out->add_option("MODEL", e->model, "A run directory or a checkpoint")->required();
  out->add_option("--out", e->out, "The folder to write; must not exist or be empty")->required();
  out->callback([e, &action] { action = [e] { return export_command(*e); }; });
}

// CLI11 would only say that a subcommand is required.
void refuse_unknown_command(const CLI::App& app, const std::string& name) {
  if (name.empty() || name.starts_with('-')) return;
  std::string nearest;
  std::size_t least = 4;  // more edits than this make another word
  for (const CLI::App* command : app.get_subcommands({})) {
    if (command->get_name() == name) return;
    const std::size_t distance = edit_distance(name, command->get_name());
    if (distance < least) {
      least = distance;
      nearest = fmt::format("did you mean {}?", command->get_name());
    }
  }
  refuse("{}: no such command; {}", one_line(name),
         nearest.empty() ? "mixspan --help lists them" : nearest);
}

ExitCode report(const char* message, ExitCode code) {
  std::fprintf(stderr, "mixspan: %s\n", message);
  return code;
}

}  // namespace

ExitCode report_current_exception() {
  try {
    throw;
  } catch (const InputError& e) {
    return report(e.what(), kUsage);
  } catch (const LeaseLost& e) {
    return report(e.what(), kLost);
  } catch (const std::bad_alloc&) {
    return report("out of memory", kFailure);
  } catch (const std::exception& e) {
    return report(e.what(), kFailure);
  }
}

int run_command_line(int argc, const char* const* argv) {
  CLI::App app(
      "Trains long-context decoder models in which every layer has its own attention span.",
      "mixspan");
  app.set_version_flag("--version", std::string("mixspan ") + std::string(kBuildName));
  app.require_subcommand(1);
  app.failure_message([](const CLI::App* a, const CLI::Error& e) {
    return std::string("mixspan: ") + e.what() + "; see " +
           (a->get_subcommands().empty() ? "mixspan"
                                         : "mixspan " + a->get_subcommands()[0]->get_name()) +
           " --help\n";
  });
  Action action;
  add_prepare(app, action);
  add_tokenizer(app, action);
  add_train(app, action);
  add_plan(app, action);
  add_eval(app, action);
  add_generate(app, action);
  add_exchange(app, action);
  add_report(app, action);
  add_sweep(app, action);
  add_scale(app, action);
  add_info(app, action);
  try {
    if (argc > 1) refuse_unknown_command(app, argv[1]);
    app.parse(argc, argv);
    return action();
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kFinished : kUsage;
  } catch (...) {
    return report_current_exception();
  }
}

}  // namespace mixspan
