#include "experiments/cost/machine_file.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

#include "core/cpu.h"
#include "core/error.h"
#include "core/text.h"
#include "kernels/peak.h"
#include "parallel/thread_ranks.h"

namespace mixspan {

namespace {

void describe_link(ConfigSchema& schema, const char* name, const char* help,
                   MachineFile::Link& link) {
  schema.section(name, help);
  schema.field("latency_us", &link.latency_us, "Microseconds before the first byte.", {.min = 0});
  schema.field("bytes_per_s", &link.bytes_per_s,
               "Bytes a second that a rank sends while it receives as many.", {.above = 0});
}

/// Seconds that two ranks, which are threads, take to send each other so many bytes: the best of
/// several exchanges.
double exchange_seconds(std::int64_t bytes, int repeats) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> best(2, std::numeric_limits<double>::infinity());
  run_thread_ranks(2, {}, [&](std::unique_ptr<Communicator> world) {
    Tensor mine({bytes}, DType::u8), theirs({bytes}, DType::u8);
    const int other = 1 - world->rank();
    const Communicator::Send send{other, mine};
    const Communicator::Receive receive{other, theirs};
    for (int i = 0; i < repeats; ++i) {
      world->barrier({"measuring the link"});
      const auto begin = Clock::now();
      world->exchange({"measuring the link"}, {&send, 1}, {&receive, 1}).wait();
      const std::chrono::duration<double> seconds = Clock::now() - begin;
      double& mine_best = best[static_cast<std::size_t>(world->rank())];
      mine_best = std::min(mine_best, seconds.count());
    }
  });
  return std::max(best[0], best[1]);
}

MachineFile::Link measure_thread_link() {
  constexpr std::int64_t kLarge = std::int64_t{16} << 20;
  const double latency = exchange_seconds(64, 200);
  const double seconds = std::max(exchange_seconds(kLarge, 10) - latency, 1e-9);
  return {latency * 1e6, static_cast<double>(kLarge) / seconds};
}

}  // namespace

ConfigSchema schema_of(MachineFile& m) {
  ConfigSchema schema;
  schema.field("name", &m.name, "What plans call it.", {.required = true, .example = "\"h100x8\""});
  schema.section("node", "Ranks that share a fast link.");
  schema.field("ranks", &m.ranks_per_node, "Ranks of a node, at most.", {.min = 1, .max = 65536});
  schema.field("shared", &m.shared,
               "Whether [rank] says what a whole node has, which its ranks divide among them.");
  schema.section("rank", "What a rank reaches in practice, not what a data sheet promises.");
  schema.field("gemm_flops", &m.gemm_flops, "FLOP/s of large matrix products.", {.above = 0});
  schema.field("attention_flops", &m.attention_flops,
               "FLOP/s of attention over the pairs that its span lets through.", {.above = 0});
  schema.field("memory_bandwidth", &m.memory_bandwidth, "Bytes read or written a second.",
               {.above = 0});
  schema.field("memory_bytes", &m.memory_bytes, "Bytes of memory.", {.min = 1});
  describe_link(schema, "inside", "The link between ranks of a node.", m.inside);
  describe_link(schema, "between", "The link between nodes.", m.between);
  return schema;
}

MachineFile MachineFile::as_seen_by(std::int64_t ranks) const {
  MachineFile m = *this;
  if (!shared) return m;
  const std::int64_t n = std::min(ranks, ranks_per_node);
  m.shared = false;
  m.gemm_flops /= static_cast<double>(n);
  m.attention_flops /= static_cast<double>(n);
  m.memory_bandwidth /= static_cast<double>(n);
  m.memory_bytes /= n;
  return m;
}

MachineFile load_machine_file(const std::filesystem::path& path) {
  MachineFile machine;
  ConfigSchema schema = schema_of(machine);
  schema.read_file(path);
  const std::string where = one_line(path.string(), 400);
  schema.check_required(where);
  for (const ConfigSchema::Field& field : schema.fields()) {
    require(!field.where.empty() || field.key() == "node.shared", "{}: {}: missing; wanted {}",
            where, field.key(), field.help);
  }
  return machine;
}

std::int64_t physical_memory() {
  return static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
}

MachineFile measure_machine(const Exec& exec) {
  MachineFile m;
  m.name = cpu_name();
  m.ranks_per_node = 64;  // threads of one process are ranks of one node, however many
  m.shared = true;
  m.gemm_flops = measure_sgemm_peak(exec);
  m.attention_flops = measure_attention_rate(exec);
  m.memory_bandwidth = 2 * measure_copy_rate(exec);  // a copy reads and writes
  m.memory_bytes = physical_memory();
  m.inside = m.between = measure_thread_link();
  return m;
}

}  // namespace mixspan
