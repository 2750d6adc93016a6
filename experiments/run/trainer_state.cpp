// What a checkpoint holds of a trainer: whole tensors, whatever mesh they are spread over.
#include <algorithm>

#include "experiments/run/model_file.h"
#include "experiments/run/trainer.h"

namespace mixspan {

namespace {

constexpr const char *kFirst = "adam_m", *kSecond = "adam_v", *kWeights = "model";

// A tensor of the checkpoint: a parameter of a group, or one that the caller adds.
struct Entry {
  std::string name, group;
  ParamId id = ParamId::none;
  ConstView extra;
};

std::vector<Entry> entries_of(const Params& params, std::span<const NamedConstView> extra) {
  std::vector<Entry> all;
  for (const char* group : {kFirst, kSecond, kWeights}) {
    for (std::size_t p = 0; p < params.specs().size(); ++p) {
      const std::string name = std::string(group) + "/" + params.specs()[p].name;
      all.push_back({name, group, static_cast<ParamId>(p), {}});
    }
  }
  for (const NamedConstView& t : extra) all.push_back({t.name, "", ParamId::none, t.view});
  std::sort(all.begin(), all.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  return all;
}

}  // namespace

// A flat buffer of this tp rank's parts, complete on every rank.
Tensor Trainer::flat_state(const std::string& group) const {
  const ConstView weights = model_.params().weights();
  Tensor flat(weights.shape());
  if (group == kWeights) {
    std::copy_n(weights.data<float>(), weights.size(), flat.data<float>());
    return flat;
  }
  optimizer_.copy_out(group == kFirst ? Optimizer::Moment::first : Optimizer::Moment::second, flat);
  sync_.gather(flat, "optimizer state");
  return flat;
}

// On tp rank 0 the whole of a parameter, in `memory` unless `flat` has it as it is; elsewhere
// empty.
ConstView Trainer::whole_param(ParamId id, View flat, Tensor& memory) const {
  const Params& params = model_.params();
  const ParamSpec& spec = params.specs()[static_cast<std::size_t>(id)];
  const View mine = params.part_of(flat, id);
  Communicator& tp = mesh_.tp();
  const bool first = tp.rank() == 0;
  if (tp.size() == 1 || spec.split.dim < 0) return first ? ConstView(mine) : ConstView();
  const Call call{"state"};
  if (!first) {
    const Communicator::Send send[] = {{0, mine}};
    tp.exchange(call, send, {}).wait();
    return {};
  }
  std::vector<Tensor> parts;
  for (int rank = 1; rank < tp.size(); ++rank) {
    parts.emplace_back(part_shape(spec.shape, spec.split, {rank, tp.size()}));
  }
  std::vector<Communicator::Receive> receives;
  for (int rank = 1; rank < tp.size(); ++rank) {
    receives.push_back({rank, parts[static_cast<std::size_t>(rank - 1)]});
  }
  tp.exchange(call, {}, receives).wait();
  memory = Tensor(spec.shape);
  put_part(memory, mine, spec.split, {0, tp.size()});
  for (int rank = 1; rank < tp.size(); ++rank) {
    put_part(memory, parts[static_cast<std::size_t>(rank - 1)], spec.split, {rank, tp.size()});
  }
  return memory;
}

void Trainer::collect_state(const PutTensor& put, std::span<const NamedConstView> extra) const {
  std::string group;
  Tensor flat;
  for (const Entry& entry : entries_of(model_.params(), extra)) {
    if (entry.id == ParamId::none) {
      if (mesh_.is_first()) put(entry.name, entry.extra);
      continue;
    }
    if (entry.group != group) {
      flat = Tensor();  // one at a time
      flat = flat_state(group = entry.group);
    }
    if (mesh_.dp_cp().rank() != 0) continue;  // the first of those that hold the same has it
    Tensor memory;
    const ConstView whole = whole_param(entry.id, flat, memory);
    if (mesh_.is_first()) put(entry.name, whole);
  }
}

namespace {

// This rank's part of GROUP/NAME for every parameter, into a flat buffer.
void read_group(const Checkpoint& checkpoint, const std::string& group, const Params& params,
                View flat) {
  for (std::size_t p = 0; p < params.specs().size(); ++p) {
    const ParamSpec& spec = params.specs()[p];
    const View part = params.part_of(flat, static_cast<ParamId>(p));
    const bool whole = part.shape() == spec.shape;
    Tensor memory = whole ? Tensor() : Tensor(spec.shape);
    const View into = whole ? part : memory.view();
    read_tensors(checkpoint, {{group + "/" + spec.name, into}});
    if (!whole) take_part(part, into, spec.split, params.part());
  }
}

}  // namespace

void Trainer::restore_weights(const Checkpoint& checkpoint) {
  read_group(checkpoint, kWeights, model_.params(), model_.params().weights());
}

void Trainer::restore_state(const Checkpoint& checkpoint) {
  restore_weights(checkpoint);
  for (const char* group : {kFirst, kSecond}) {
    Tensor flat(model_.params().weights().shape());
    read_group(checkpoint, group, model_.params(), flat);
    optimizer_.copy_in(
        group == std::string(kFirst) ? Optimizer::Moment::first : Optimizer::Moment::second, flat);
  }
}

}  // namespace mixspan
