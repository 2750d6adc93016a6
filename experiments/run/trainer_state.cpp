// What a checkpoint holds of a trainer: whole tensors, whatever mesh they are spread over.
#include <algorithm>

#include "core/copy.h"
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
struct Trainer::FlatState {
  Tensor gathered;  // on the host; empty where one rank holds it all
  ConstView view;   // of it, or of the trainer's own memory, which may be a device's
};

Trainer::FlatState Trainer::flat_state(const std::string& group) const {
  FlatState state;
  const Optimizer::Moment moment =
      group == kFirst ? Optimizer::Moment::first : Optimizer::Moment::second;
  if (group == kWeights) {
    state.view = model_.params().weights();
  } else if (!sync_.sharded()) {
    state.view = optimizer_.moment(moment);  // the owned parts are everything
  } else {
    state.gathered = Tensor(model_.params().weights().shape());
    optimizer_.copy_out(exec_, moment, state.gathered);
    sync_.gather_on_host(state.gathered, "optimizer state");
    state.view = state.gathered;
  }
  return state;
}

// On tp rank 0 the whole of a parameter in host memory, in `memory` unless `flat` has it as it is;
// elsewhere empty.
ConstView Trainer::whole_param(ParamId id, const FlatState& flat, Tensor& memory) const {
  const Params& params = model_.params();
  const ParamSpec& spec = params.specs()[static_cast<std::size_t>(id)];
  ConstView mine = params.part_of(flat.view, id);
  Tensor on_host;
  if (exec_.device.is_cuda() && flat.gathered.view().empty()) {
    on_host = Tensor(mine.shape());
    copy(exec_, on_host, mine);
    mine = on_host;
  }
  Communicator& tp = mesh_.tp().host();
  const bool first = tp.rank() == 0;
  if (tp.size() == 1 || spec.split.dim < 0) {
    if (!on_host.view().empty()) memory = std::move(on_host);
    return first ? mine : ConstView();
  }
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
  FlatState flat;
  for (const Entry& entry : entries_of(model_.params(), extra)) {
    if (entry.id == ParamId::none) {
      if (mesh_.is_first()) put(entry.name, entry.extra);
      continue;
    }
    if (entry.group != group) {
      flat = {};  // one at a time
      flat = flat_state(group = entry.group);
    }
    if (mesh_.dp_cp().rank() != 0) continue;  // the first of those that hold the same has it
    Tensor memory;
    const ConstView whole = whole_param(entry.id, flat, memory);
    if (mesh_.is_first()) put(entry.name, whole);
  }
}

namespace {

// Calls put(id, part) with this rank's part of GROUP/NAME, in host memory, for every parameter.
template <class Put>
void read_group(const Checkpoint& checkpoint, const std::string& group, const Params& params,
                Put&& put) {
  for (std::size_t p = 0; p < params.specs().size(); ++p) {
    const ParamSpec& spec = params.specs()[p];
    Tensor whole(spec.shape);
    read_tensors(checkpoint, {{group + "/" + spec.name, whole}});
    const Shape shape = part_shape(spec.shape, spec.split, params.part());
    if (shape == spec.shape) {
      put(static_cast<ParamId>(p), whole);
    } else {
      Tensor part(shape);
      take_part(part, whole, spec.split, params.part());
      put(static_cast<ParamId>(p), part);
    }
  }
}

}  // namespace

std::size_t Trainer::state_bytes() const {
  const Params& p = model_.params();
  return p.weights().size_bytes() + p.grads().size_bytes() + p.copies().size_bytes() +
         2 * optimizer_.moment(Optimizer::Moment::first).size_bytes();
}

void Trainer::restore_weights(const Checkpoint& checkpoint) {
  read_group(checkpoint, kWeights, model_.params(),
             [&](ParamId id, const Tensor& part) { model_.params().write(exec_, id, part); });
}

void Trainer::restore_moment(const Checkpoint& checkpoint, const std::string& group) {
  const Optimizer::Moment moment =
      group == kFirst ? Optimizer::Moment::first : Optimizer::Moment::second;
  Tensor flat;
  if (sync_.sharded()) flat = Tensor(model_.params().weights().shape());
  const View into = sync_.sharded() ? flat.view() : optimizer_.moment(moment);
  Exec host = exec_;
  host.device = {};
  read_group(checkpoint, group, model_.params(), [&](ParamId id, const Tensor& part) {
    copy(sync_.sharded() ? host : exec_, model_.params().part_of(into, id), part);
  });
  if (sync_.sharded()) optimizer_.copy_in(exec_, moment, flat);
}

void Trainer::restore_state(const Checkpoint& checkpoint) {
  restore_weights(checkpoint);
  for (const char* group : {kFirst, kSecond}) restore_moment(checkpoint, group);
}

}  // namespace mixspan
