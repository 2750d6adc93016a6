// A sweep file: a base config, and which keys take which values.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "experiments/sweep/launch_config.h"
#include "experiments/sweep/sweep_run.h"

namespace mixspan {

/// The last evaluation loss of this run, once it is finished with this config; empty until then.
using LossOf = std::function<std::optional<double>(const SweepRun& run)>;

struct SweepContent;
struct ScaleOptions;

/// What a file is read as. [scale] and [extrapolate] belong to scaling studies alone.
enum class SweepKind { sweep, scale };

class SweepFile {
 public:
  /// Throws InputError, one line: FILE:LINE: KEY: what was wanted, what was got. `sets` override
  /// the base, and come before what the sweep itself varies. The runs of a scaling study are short
  /// and traced, and evaluate as little as they can.
  static SweepFile load(const std::filesystem::path& path,
                        const std::vector<std::string>& sets = {},
                        SweepKind kind = SweepKind::sweep);

  const std::filesystem::path& path() const;
  const std::string& name() const;  ///< [sweep] name, or the file's, as a folder's
  const std::string& text() const;  ///< the file itself
  const LocalLaunch& local() const;
  const SlurmLaunch& slurm() const;

  /// Every run that is known so far, in a fixed order, each with another name. A search chooses its
  /// next runs by the losses of earlier ones: call this again when all of them are finished, until
  /// it returns no new one. All other sweeps do not ask for losses and return all their runs. Of
  /// several searches (one for each setting beside the seed) the runs of each stand together. A
  /// function of the file and the losses alone. Throws InputError where a run's config is not
  /// valid.
  std::vector<SweepRun> runs(const LossOf& loss) const;
  /// Whether runs() can return more once those it returned are finished.
  bool is_search() const;

  const ScaleOptions& scale() const;
  /// Of a scaling study: what is to be predicted and not run.
  const std::vector<SweepRun>& extrapolated() const;

 private:
  SweepFile() = default;
  std::shared_ptr<const SweepContent> content_;
};

}  // namespace mixspan
