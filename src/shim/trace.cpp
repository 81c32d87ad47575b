// What a network computes, as libtorch's tracer records it, in JSON. The tensors that go in have names.

#include "tensors.h"

#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <cstdio>
#include <map>

namespace {

namespace jit = torch::jit;

thread_local std::map<const jit::Value *, std::string> input_names;
thread_local std::string graph_text;

std::string quoted(const std::string &text) {
  std::string out = "\"";
  for (const char c : text) {
    char escape[8];
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20) {
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

// A number that reads back as the same; JSON has no others.
std::string number(double value) {
  TORCH_CHECK(std::isfinite(value), "naslab: a constant of the network is not finite");
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

template <class List, class F> std::string joined(const List &list, F f) {
  std::string out = "[";
  const char *gap = "";
  for (const auto &item : list) {
    out += gap;
    out += f(item);
    gap = ",";
  }
  out += ']';
  return out;
}

std::string constant(const c10::IValue &value) {
  if (value.isNone()) {
    return "\"none\"";
  }
  if (value.isInt()) {
    return "{\"int\":" + std::to_string(value.toInt()) + '}';
  }
  if (value.isDouble()) {
    return "{\"float\":" + number(value.toDouble()) + '}';
  }
  if (value.isBool()) {
    return value.toBool() ? "{\"bool\":true}" : "{\"bool\":false}";
  }
  if (value.isTensor() && !value.toTensor().defined()) {
    return "\"none\"";
  }
  if (value.isList()) {
    return "{\"list\":" + joined(value.toListRef(), constant) + '}';
  }
  return "{\"text\":" + quoted(value.tagKind()) + '}';
}

std::string name(const jit::Value *value) {
  const auto given = input_names.find(value);
  return quoted(given == input_names.end() ? "v" + std::to_string(value->unique()) : given->second);
}

std::string argument(const jit::Value *value) {
  const auto *node = value->node();
  if (node->kind() == c10::prim::Constant) {
    return constant(jit::toIValue(value).value());
  }
  if (node->kind() == c10::prim::ListConstruct) {
    return "{\"list\":" + joined(node->inputs(), argument) + '}';
  }
  return "{\"value\":" + name(value) + '}';
}

std::string output(const jit::Value *value) {
  std::string shape = "null";
  if (const auto type = value->type()->cast<c10::TensorType>()) {
    if (const auto sizes = type->sizes().concrete_sizes()) {
      shape = joined(*sizes, [](std::int64_t side) { return std::to_string(side); });
    }
  }
  return "{\"name\":" + name(value) + ",\"shape\":" + shape + '}';
}

std::string graph(const jit::Graph &graph) {
  std::vector<const jit::Node *> operations;
  for (const auto *node : graph.nodes()) {
    if (node->kind() != c10::prim::Constant && node->kind() != c10::prim::ListConstruct) {
      operations.push_back(node);
    }
  }
  const auto written = [](const jit::Node *node) {
    return "{\"op\":" + quoted(node->kind().toQualString()) + ",\"inputs\":" + joined(node->inputs(), argument) +
           ",\"outputs\":" + joined(node->outputs(), output) + '}';
  };
  return "{\"nodes\":" + joined(operations, written) + ",\"output\":" + name(graph.outputs().at(0)) + '}';
}

const at::Tensor &at_pointer(const void *pointer) { return *static_cast<const at::Tensor *>(pointer); }

// False, with the reason in `last_error`, where `f` throws.
template <class F> bool done(F f) {
  try {
    f();
    return true;
  } catch (const std::exception &e) {
    jit::tracer::abandon();
    naslab::last_error() = e.what();
    return false;
  }
}

} // namespace

extern "C" {

bool naslab_is_tracing() { return jit::tracer::isTracing(); }

// From here on all that this thread computes is recorded.
bool naslab_trace_begin(const void *const *tensors, const char *const *names, std::int64_t count) {
  return done([&] {
    TORCH_CHECK(!jit::tracer::isTracing(), "naslab: two traces at once");
    input_names.clear();
    auto state = std::make_shared<jit::tracer::TracingState>();
    for (std::int64_t i = 0; i < count; ++i) {
      auto *value = state->graph->addInput();
      value->inferTypeFrom(at_pointer(tensors[i]));
      input_names[value] = names[i];
      state->setValue(at_pointer(tensors[i]), value);
    }
    jit::tracer::setTracingState(state);
  });
}

// Ends the recording: how `result` was computed. The text is this thread's until the next call; a null pointer, with the reason in
// `last_error`, where it cannot be told.
const char *naslab_trace_end(const void *result) {
  const bool told = done([&] {
    const auto state = jit::tracer::getTracingState();
    TORCH_CHECK(state != nullptr, "naslab: no trace was begun");
    state->graph->registerOutput(state->getOutput(at_pointer(result), 0));
    jit::tracer::setTracingState(nullptr);
    graph_text = graph(*state->graph);
  });
  return told ? graph_text.c_str() : nullptr;
}

void naslab_trace_abandon() { jit::tracer::abandon(); }
}
