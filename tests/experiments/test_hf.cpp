#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/h5.h"
#include "experiments/hf/gpt_neo.h"
#include "experiments/hf/safetensors.h"
#include "layers/model.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

fs::path golden(const std::string& name) {
  return fs::path(MIXSPAN_SOURCE_DIR) / "tests/golden/model" / name;
}

std::vector<NamedConstView> views_of(const std::vector<NamedTensor>& params) {
  std::vector<NamedConstView> views;
  for (const NamedTensor& p : params) views.push_back({p.name, p.tensor});
  return views;
}

std::vector<NamedTensor> random_params(const ModelConfig& config) {
  std::vector<NamedTensor> params;
  for (const HfParameter& p : hf_parameters(config)) {
    params.push_back({p.name, random_tensor(p.shape, params.size() + 1)});
  }
  return params;
}

void expect_same_params(const std::vector<NamedTensor>& got, const std::vector<NamedTensor>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].name, want[i].name);
    EXPECT_EQ(bits_differ(got[i].tensor, want[i].tensor), "") << got[i].name;
  }
}

ModelConfig small_config() {
  ModelConfig c;
  c.layers = 3;
  c.width = 32;
  c.heads = 2;  // H = 16: 1/sqrt(H) is a power of two
  c.context = 24;
  c.vocab = 11;
  c.spans = {"full", "sliding:5", "sliding:5"};
  c.attention_scale = "one";
  return c;
}

TEST(Hf, ParametersAreThoseOfTheModel) {
  for (const bool bias : {false, true}) {
    ModelConfig c = small_config();
    c.qkv_bias = bias;
    const Model model(c, Params::Gradients::no);
    const std::vector<HfParameter> ours = hf_parameters(c);
    ASSERT_EQ(ours.size(), model.params().specs().size());
    for (std::size_t i = 0; i < ours.size(); ++i) {
      EXPECT_EQ(ours[i].name, model.params().specs()[i].name);
      EXPECT_EQ(ours[i].shape, model.params().specs()[i].shape);
    }
  }
}

class GoldenFolder : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(GoldenFolder, IsImportedBitForBit) {
  const HfModel model = read_hf_model(golden(GetParam().first));
  const H5File file = H5File::open(golden(GetParam().second));
  const ModelConfig& c = model.config;
  EXPECT_EQ(c.layers, file.int_attribute("layers"));
  EXPECT_EQ(c.width, file.int_attribute("width"));
  EXPECT_EQ(c.heads, file.int_attribute("heads"));
  EXPECT_EQ(c.mlp(), file.int_attribute("mlp_width"));
  EXPECT_EQ(c.context, file.int_attribute("context"));
  EXPECT_EQ(c.vocab, file.int_attribute("vocab"));
  EXPECT_EQ(c.qkv_bias, file.int_attribute("qkv_bias") == 1);
  EXPECT_EQ(c.attention_scale, file.text_attribute("attention_scale"));
  EXPECT_EQ(c.layer_norm_eps, std::stod(file.text_attribute("layer_norm_eps")));
  std::string spans;
  for (const std::string& s : c.spans) spans += (spans.empty() ? "" : ",") + s;
  EXPECT_EQ(spans, file.text_attribute("spans"));

  std::size_t in_file = 0;
  for (const std::string& name : file.names()) in_file += name.starts_with("param/");
  EXPECT_EQ(model.params.size(), in_file);
  for (const NamedTensor& p : model.params) {
    Tensor want = poisoned_tensor(p.tensor.shape());
    file.read("param/" + p.name, want);
    EXPECT_EQ(bits_differ(p.tensor, want), "") << p.name;
  }
}

TEST_P(GoldenFolder, SurvivesExportAndImportBitForBit) {
  const HfModel model = read_hf_model(golden(GetParam().first));
  const ScratchFolder scratch;
  const fs::path out = scratch / "new/out";
  const HfExport done = write_hf_model(out, model.config, views_of(model.params),
                                       {.end_of_text = 3, .files = {{"tokenizer.json", "{}"}}});
  EXPECT_TRUE(done.exact && !done.scale_folded && !done.bias_added);
  const HfModel again = read_hf_model(out);
  EXPECT_EQ(again.config, model.config);
  expect_same_params(again.params, model.params);
  EXPECT_EQ(read_file(out / "tokenizer.json"), "{}");
  EXPECT_EQ(json::parse(read_file(out / "config.json"))["eos_token_id"], 3);
  // Nothing but the folder appears, and only its three files.
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch / "new"), {}), 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(out), {}), 3);
}

INSTANTIATE_TEST_SUITE_P(Hf, GoldenFolder,
                         ::testing::Values(std::pair("hf_gpt_neo", "gpt_neo_a.h5"),
                                           std::pair("hf_gpt2", "gpt2.h5")),
                         [](const auto& each) { return std::string(each.param.first); });

// A copy of a golden folder that a test spoils.
class Spoiled {
 public:
  explicit Spoiled(const std::string& name) {
    for (const char* file : {"config.json", "model.safetensors"}) {
      fs::copy_file(golden(name) / file, folder_ / file);
    }
    config = json::parse(read_file(folder_ / "config.json"));
    model = read_hf_model(folder_.path());
  }
  std::string refusal_with(const std::function<void(json&)>& change) {
    json changed = config;
    change(changed);
    write_file(folder_ / "config.json", changed.dump());
    return refusal([&] { read_hf_model(folder_.path()); });
  }
  std::string refusal_without_key(const std::string& key) {
    return refusal_with([&](json& c) { c.erase(key); });
  }
  // The file again, its tensors changed by `change`.
  void rewrite(const std::function<void(std::vector<NamedConstView>&)>& change) {
    const fs::path path = folder_ / "model.safetensors";
    const Safetensors file = Safetensors::open_file(path);
    std::vector<NamedTensor> tensors;
    for (const auto& [name, entry] : file.entries()) {
      tensors.push_back({name, Tensor(Shape(entry.dims))});
      file.read(name, tensors.back().tensor);
    }
    std::vector<NamedConstView> views = views_of(tensors);
    change(views);
    write_safetensors(path, views);
  }
  HfModel read() const { return read_hf_model(folder_.path()); }
  std::string refusal_as_is() const {
    return refusal([&] { read(); });
  }

  json config;
  HfModel model;

 private:
  ScratchFolder folder_;
};

void expect_says(const std::string& message, const std::string& part) {
  EXPECT_NE(message.find(part), std::string::npos) << message << "\nwanted: " << part;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

TEST(HfImport, RefusesWhatWouldBeComputedDifferently) {
  Spoiled neo("hf_gpt_neo");
  const auto neo_with = [&](const char* key, const json& value) {
    return neo.refusal_with([&](json& c) { c[key] = value; });
  };
  expect_says(neo_with("activation_function", "relu"), "activation_function = \"relu\"");
  expect_says(neo_with("model_type", "gptj"), "model_type = \"gptj\"; wanted \"gpt_neo\"");
  expect_says(neo_with("architectures", {"GPTNeoForSequenceClassification"}), "architectures");
  expect_says(neo_with("num_layers", 3), "attention_types describes more than the 3 layers");
  expect_says(neo_with("num_layers", 5), "attention_types describes 4 layers, num_layers = 5");
  expect_says(neo_with("num_layers", 1e9), "num_layers = 1000000000.0; wanted a whole number");
  expect_says(neo_with("num_layers", -4), "num_layers = -4; wanted a whole number from 1");
  expect_says(neo_with("num_layers", 18446744073709551615u), "wanted a whole number from 1");
  expect_says(neo_with("hidden_size", "32"), "hidden_size = \"32\"; wanted a whole number");
  expect_says(neo_with("num_heads", 5), "config.json: model.heads = 5 does not divide");
  expect_says(neo_with("hidden_size", 64), "shape (97, 32); config.json asks for (97, 64)");
  expect_says(neo_with("hidden_size", 1 << 28), "config.json");
  expect_says(neo_with("vocab_size", 98), "config.json asks for (98, 32)");
  expect_says(neo_with("window_size", 0), "window_size = 0; wanted a whole number from 1");
  expect_says(neo_with("layer_norm_epsilon", 0), "layer_norm_epsilon = 0; wanted between");
  expect_says(neo_with("layer_norm_epsilon", "x"), "layer_norm_epsilon = \"x\"; wanted a number");
  expect_says(neo_with("tie_word_embeddings", false), "there is no lm_head.weight");
  expect_says(neo_with("tie_word_embeddings", 1), "wanted true or false");
  expect_says(neo_with("attention_layers", {"global"}), "is not what attention_types says");
  for (const char* types : {"7", "[7]", "[[\"global\", 4]]", "[[[], 4]]", "[[[\"near\"], 4]]",
                            "[[[\"global\"], -1]]", "[[[\"global\"], 4, 4]]"}) {
    expect_says(neo_with("attention_types", json::parse(types)), "wanted a list such as");
  }
  expect_says(neo_with("attention_types", json::parse("[[[\"global\"], 9000000000000]]")),
              "more than the 4 layers");
  expect_says(neo.refusal_without_key("attention_types"), "more than the 4 layers");

  Spoiled gpt2("hf_gpt2");
  for (const char* key : {"scale_attn_by_inverse_layer_idx", "add_cross_attention"}) {
    expect_says(gpt2.refusal_with([&](json& c) { c[key] = true; }),
                std::string(key) + " = true; Mixspan only knows false");
  }
}

TEST(HfImport, RefusesFoldersThatAreNot) {
  const ScratchFolder folder;
  expect_says(refusal([&] { read_hf_model(folder / "gone"); }), "gone: no such folder");
  expect_says(refusal([&] { read_hf_model(folder.path()); }), "config.json: no such file");
  write_file(folder / "config.json", "{");
  expect_says(refusal([&] { read_hf_model(folder.path()); }), "not valid JSON");
  fs::copy_file(golden("hf_gpt2/config.json"), folder / "config.json",
                fs::copy_options::overwrite_existing);
  expect_says(refusal([&] { read_hf_model(folder.path()); }), "safe_serialization");
}

TEST(HfImport, RefusesMissingAndUnknownTensors) {
  Spoiled missing("hf_gpt_neo");
  missing.rewrite([](auto& views) {
    std::erase_if(views, [](const auto& v) { return v.name.ends_with("2.mlp.c_fc.bias"); });
  });
  expect_says(missing.refusal_as_is(), "holds no tensor \"transformer.h.2.mlp.c_fc.bias\"");

  Spoiled extra("hf_gpt_neo");
  const Tensor bias(Shape{32});
  extra.rewrite([&](auto& views) {
    views.push_back({"transformer.h.0.attn.attention.q_proj.bias", bias});
  });
  expect_says(extra.refusal_as_is(), "q_proj.bias\" is no part of the GPTNeoForCausalLM");
}

TEST(HfImport, TakesEitherPrefixOldMasksAndAnEqualHead) {
  for (const std::string name : {"hf_gpt_neo", "hf_gpt2"}) {
    Spoiled old(name);
    const Tensor mask(Shape{1, 1, 24, 24}), value(Shape{});
    const std::string attn = name == "hf_gpt2" ? "h.0.attn." : "h.0.attn.attention.";
    old.rewrite([&](auto& views) {
      for (auto& v : views) v.name = v.name.substr(std::string("transformer.").size());
      views.push_back({attn + "bias", mask});
      views.push_back({attn + "masked_bias", value});
      views.push_back({"lm_head.weight", old.model.params.front().tensor});
    });
    expect_same_params(old.read().params, old.model.params);
  }
}

TEST(HfImport, RefusesAHeadOfItsOwn) {
  Spoiled own("hf_gpt2");
  Tensor head = copy_of(own.model.params.front().tensor);
  head.data<float>()[head.size() - 1] += 1.0f;
  own.rewrite([&](auto& views) { views.push_back({"lm_head.weight", head}); });
  expect_says(own.refusal_as_is(), "lm_head.weight differs from wte.weight");
}

TEST(HfExport, FoldsTheScaleExactlyWhenItIsAPowerOfTwo) {
  for (const std::int64_t heads : {2, 4}) {  // H = 16 and H = 8
    ModelConfig c = small_config();
    c.heads = heads;
    c.attention_scale = "inverse-sqrt";
    const std::vector<NamedTensor> params = random_params(c);
    const ScratchFolder scratch;
    const HfExport done = write_hf_model(scratch / "out", c, views_of(params));
    EXPECT_EQ(done.family, "GPTNeoForCausalLM");
    EXPECT_TRUE(done.scale_folded);
    EXPECT_EQ(done.exact, heads == 2);

    const HfModel got = read_hf_model(scratch / "out");
    EXPECT_EQ(got.config.attention_scale, "one");
    EXPECT_EQ(got.config.spans, c.spans);
    for (std::size_t i = 0; i < params.size(); ++i) {
      Tensor want = copy_of(params[i].tensor);
      if (params[i].name.ends_with("attn.qkv.weight")) {
        const double scale = 1 / std::sqrt(static_cast<double>(c.head_size()));
        for (std::int64_t k = 0; k < c.width * c.width; ++k) {  // the query rows
          want.data<float>()[k] = static_cast<float>(want.data<float>()[k] * scale);
        }
      }
      EXPECT_EQ(bits_differ(got.params[i].tensor, want), "") << params[i].name;
    }
  }
}

TEST(HfExport, GivesGpt2ZeroBiasesWhenTheModelHasNone) {
  ModelConfig c = small_config();
  c.attention_scale = "inverse-sqrt";
  c.spans = {"full", "sliding:24", "block:24"};  // all cover the context
  const std::vector<NamedTensor> params = random_params(c);
  const ScratchFolder scratch;
  const HfExport done = write_hf_model(scratch / "out", c, views_of(params));
  EXPECT_EQ(done.family, "GPT2LMHeadModel");
  EXPECT_TRUE(done.bias_added && done.exact && !done.scale_folded);
  const HfModel got = read_hf_model(scratch / "out");
  EXPECT_TRUE(got.config.qkv_bias);
  EXPECT_EQ(got.config.spans, std::vector<std::string>(3, "full"));
  const Tensor zeros(Shape{3 * c.width});
  std::size_t at = 0;
  for (const NamedTensor& p : got.params) {
    if (p.name.ends_with("qkv.bias")) {
      EXPECT_EQ(bits_differ(p.tensor, zeros), "");
    } else {
      EXPECT_EQ(p.name, params[at].name);
      EXPECT_EQ(bits_differ(p.tensor, params[at++].tensor), "") << p.name;
    }
  }
  EXPECT_EQ(at, params.size());
}

TEST(HfExport, KeepsScaleOneWithBiasesInGpt2) {
  ModelConfig c = small_config();
  c.qkv_bias = true;
  c.spans = std::vector<std::string>(3, "full");
  c.mlp_width = 40;
  c.layer_norm_eps = 1e-6;
  const std::vector<NamedTensor> params = random_params(c);
  const ScratchFolder scratch;
  EXPECT_EQ(write_hf_model(scratch / "out", c, views_of(params)).family, "GPT2LMHeadModel");
  const HfModel got = read_hf_model(scratch / "out");
  EXPECT_EQ(got.config, c);
  expect_same_params(got.params, params);
}

TEST(HfExport, RefusesWhatNoFamilyHolds) {
  const ScratchFolder scratch;
  const auto refusal_of = [&](const std::vector<std::string>& spans, bool bias) {
    ModelConfig c = small_config();
    c.spans = spans;
    c.qkv_bias = bias;
    const std::vector<NamedTensor> params = random_params(c);
    return refusal([&] { write_hf_model(scratch / "out", c, views_of(params)); });
  };
  expect_says(refusal_of({"full", "block:8", "full"}, false),
              "layer 1 has span block:8; Hugging Face's GPT-Neo holds full layers and sliding");
  expect_says(refusal_of({"sliding:5", "full", "block-prev:8"}, false),
              "layer 2 has span block-prev:8, another sliding:5; Hugging Face");
  expect_says(refusal_of({"sliding:5", "full", "sliding:6"}, false),
              "layer 2 has span sliding:6, another sliding:5; Hugging Face");
  expect_says(refusal_of({"sliding:5", "full", "full"}, true), "model.qkv_bias = true");
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

TEST(HfExport, TouchesNoFolderThatHoldsSomething) {
  const ModelConfig c = small_config();
  const std::vector<NamedTensor> params = random_params(c);
  const ScratchFolder scratch;
  const auto write = [&](const fs::path& to) { write_hf_model(to, c, views_of(params)); };
  fs::create_directory(scratch / "full");
  write_file(scratch / "full/mine", "x");
  write_file(scratch / "file", "x");
  expect_says(refusal([&] { write(scratch / "full"); }), "full: exists and is not an empty folder");
  expect_says(refusal([&] { write(scratch / "file"); }), "file: exists and is not an empty folder");
  expect_says(refusal([&] { write(scratch / "file/below"); }), "cannot be made");
  EXPECT_EQ(std::distance(fs::recursive_directory_iterator(scratch.path()), {}), 3);

  fs::create_directory(scratch / "empty");
  write(scratch / "empty/");
  expect_same_params(read_hf_model(scratch / "empty").params, params);
}

TEST(HfExport, LeavesNothingBehindWhenItFails) {
  const ModelConfig c = small_config();
  const std::vector<NamedTensor> params = random_params(c);
  const ScratchFolder scratch;
  EXPECT_THROW(write_hf_model(scratch / "out", c, views_of(params), {.files = {{"../x", ""}}}),
               Error);
  EXPECT_THROW(write_hf_model(scratch / "out", c, {}), Error);
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

}  // namespace
}  // namespace mixspan::test
