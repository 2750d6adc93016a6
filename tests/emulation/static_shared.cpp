#include "tests/emulation/static_shared.h"

#include <cxxabi.h>
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string_view>

#include "core/error.h"

// Their addresses in the file and in memory tell where everything else is.
extern "C" {
thread_local char mixspan_emulation_tls_mark;
void mixspan_emulation_code_mark() {}
}

namespace mixspan::emulation {

namespace {

struct Variable {
  std::ptrdiff_t offset;  // from the mark
  std::size_t bytes;
};

struct Symbols {
  std::vector<Variable> shared;
  std::ptrdiff_t begin = 0, end = 0;                // of all of shared, from the mark
  std::map<std::ptrdiff_t, std::string> functions;  // by offset from the mark
};

Symbols read_symbols() {
  std::ifstream in("/proc/self/exe", std::ios::binary);
  const std::string file((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  check(file.size() > sizeof(Elf64_Ehdr), "the program's own file cannot be read");
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(file.data());
  const auto* sections = reinterpret_cast<const Elf64_Shdr*>(file.data() + header->e_shoff);
  Symbols result;
  std::ptrdiff_t tls_mark = -1, code_mark = -1;
  std::map<std::string, Elf64_Sym> tls, functions;
  for (int s = 0; s < header->e_shnum; ++s) {
    if (sections[s].sh_type != SHT_SYMTAB) continue;
    const auto* symbols = reinterpret_cast<const Elf64_Sym*>(file.data() + sections[s].sh_offset);
    const char* names = file.data() + sections[sections[s].sh_link].sh_offset;
    for (std::size_t i = 0; i < sections[s].sh_size / sizeof(Elf64_Sym); ++i) {
      const Elf64_Sym& symbol = symbols[i];
      const std::string_view name = names + symbol.st_name;
      const auto value = static_cast<std::ptrdiff_t>(symbol.st_value);
      const int type = ELF64_ST_TYPE(symbol.st_info);
      if (name == "mixspan_emulation_tls_mark") tls_mark = value;
      if (name == "mixspan_emulation_code_mark") code_mark = value;
      if (type == STT_FUNC && symbol.st_value != 0) result.functions[value] = name;
      // _ZZ: a static variable of a function.
      if (type == STT_TLS && name.starts_with("_ZZ")) {
        result.shared.push_back({value, static_cast<std::size_t>(symbol.st_size)});
      }
    }
  }
  check(tls_mark >= 0 && code_mark >= 0, "the program has no symbols (was it stripped?)");
  std::map<std::ptrdiff_t, std::string> moved;
  for (auto& [value, name] : result.functions) moved[value - code_mark] = std::move(name);
  result.functions = std::move(moved);
  for (Variable& v : result.shared) {
    v.offset -= tls_mark;
    const std::ptrdiff_t end = v.offset + static_cast<std::ptrdiff_t>(v.bytes);
    result.begin = std::min(result.begin, v.offset);
    result.end = std::max(result.end, end);
  }
  return result;
}

const Symbols& symbols() {
  static const Symbols all = read_symbols();
  return all;
}

}  // namespace

void poison_static_shared() {
  for (const Variable& v : symbols().shared) {
    std::memset(&mixspan_emulation_tls_mark + v.offset, 0xff, v.bytes);
  }
}

StaticShared static_shared() {
  const Symbols& all = symbols();
  return {reinterpret_cast<std::byte*>(&mixspan_emulation_tls_mark) + all.begin,
          static_cast<std::size_t>(all.end - all.begin)};
}

std::string function_name(const void* function) {
  const auto* mark = reinterpret_cast<const char*>(&mixspan_emulation_code_mark);
  const auto& functions = symbols().functions;
  const auto found = functions.find(static_cast<const char*>(function) - mark);
  if (found == functions.end()) return "a kernel";
  int status = 0;
  char* text = abi::__cxa_demangle(found->second.c_str(), nullptr, nullptr, &status);
  std::string name = status == 0 ? text : found->second;
  std::free(text);
  return name;
}

}  // namespace mixspan::emulation
