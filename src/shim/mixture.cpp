// The sum that a node of a cell network is: terms are maps times a coefficient, or chains of stages (ReLU, depthwise convolution, pointwise
// convolution, batch norm) times a coefficient. Forward and gradient in one pass over blocks of images.
//
// Of a stage only what the pointwise convolution gives is kept for the gradient; batch norm and ReLU of a stage in the middle of a chain are
// applied where the next one reads, and the coefficient is part of the last batch norm's scale. The gradient of the weights, where it is
// wanted, convolves depthwise once more instead of having kept it.

#include "stages.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

namespace {

using naslab::by_form;
using naslab::EPSILON;
using naslab::MOMENTUM;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Term {
  std::int64_t source, coefficient;
  std::vector<Stage> stages;
};

struct Plan {
  std::int64_t images, sources;
  bool training, nchw;
  // Position of the coefficients among the inputs; -1 where there are none.
  std::int64_t coefficients;
  std::vector<Map> maps;
  Map out;
  std::vector<Term> terms;

  // From numbers as `blocked.rs` writes them.
  Plan(const std::vector<std::int64_t> &numbers, const variable_list &inputs) {
    auto at = numbers.begin();
    sources = *at++;
    const bool mixes = *at++ != 0;
    training = *at++ != 0;
    nchw = *at++ != 0;
    images = *at++;
    coefficients = mixes ? sources : -1;
    for (std::int64_t i = 0; i < sources; ++i) {
      const auto &x = inputs[static_cast<std::size_t>(i)];
      TORCH_CHECK(x.dim() == (nchw ? 4 : 5), "naslab: not maps of images");
      maps.push_back({x.size(1), x.size(2), x.size(3)});
      TORCH_CHECK(x.size(0) == inputs[0].size(0) && (nchw || x.size(4) == inputs[0].size(4)), "naslab: sources of a sum have as many images");
    }
    out = {0, 0, 0};
    std::int64_t position = sources + (mixes ? 1 : 0), running = 0;
    while (at != numbers.end()) {
      Term term{*at, *(at + 1), {}};
      TORCH_CHECK(term.source >= 0 && term.source < sources, "naslab: a term names a source that is not there");
      TORCH_CHECK(term.coefficient < (mixes ? inputs[static_cast<std::size_t>(sources)].numel() : 0),
                  "naslab: a term names a coefficient that is not there");
      const std::int64_t count = *(at + 2);
      at += 3;
      Map map = maps[static_cast<std::size_t>(term.source)];
      std::int64_t channels = map.channels;
      for (std::int64_t i = 0; i < count; ++i, at += 7) {
        Stage s{};
        s.stride = at[0], s.dilation = at[1], s.shift = at[2], s.relu = at[3] != 0, s.first = at[4];
        TORCH_CHECK(s.stride > 0 && s.dilation > 0 && s.shift >= 0 && s.first >= 0, "naslab: stride and dilation are positive");
        s.depthwise = at[5] != 0 ? position++ : -1;
        s.pointwise = position++;
        s.gamma = at[6] != 0 ? position : -1;
        position += at[6] != 0 ? 2 : 0;
        s.running = running;
        running += 2;
        s.kernel = 1;
        if (s.depthwise >= 0) {
          const auto &w = inputs[static_cast<std::size_t>(s.depthwise)];
          TORCH_CHECK(w.dim() == 4 && w.size(0) == map.channels && w.size(1) == 1 && w.size(2) == w.size(3) && w.size(3) % 2 == 1,
                      "naslab: a depthwise kernel is [C, 1, K, K], K odd");
          TORCH_CHECK(s.shift == 0, "naslab: only maps that are not convolved depthwise are shifted");
          s.kernel = w.size(3);
        }
        const auto &w = inputs[static_cast<std::size_t>(s.pointwise)];
        TORCH_CHECK(w.dim() == 4 && w.size(1) == map.channels && w.size(2) == 1 && w.size(3) == 1,
                    "naslab: a pointwise kernel is [C', C, 1, 1]");
        for (std::int64_t i = 0; i < 2 && s.gamma >= 0; ++i) {
          TORCH_CHECK(inputs[static_cast<std::size_t>(s.gamma + i)].numel() == w.size(0), "naslab: scale and shift are one number a channel");
        }
        s.in = map;
        map = s.out = {w.size(0), (map.height - 1) / s.stride + 1, (map.width - 1) / s.stride + 1};
        channels = s.first + map.channels;
        term.stages.push_back(s);
      }
      TORCH_CHECK(out.height == 0 || (out.height == map.height && out.width == map.width), "naslab: terms of a sum have one size");
      out = {std::max(out.channels, channels), map.height, map.width};
      terms.push_back(std::move(term));
    }
    for (const auto &term : terms) {
      TORCH_CHECK(!term.stages.empty() || maps[static_cast<std::size_t>(term.source)].channels == out.channels,
                  "naslab: a source that is a term has the channels of the sum");
    }
  }

  // Of the blocks that the maps are, or are made.
  std::int64_t lanes(const at::Tensor &map) const { return nchw ? naslab::lanes(map.scalar_type() == at::kFloat, images) : map.size(4); }

  std::int64_t stages() const {
    std::size_t most = 0;
    for (const auto &t : terms) {
      most = std::max(most, t.stages.size());
    }
    return static_cast<std::int64_t>(most);
  }
};

template <class F> at::Tensor empty_map(const Map &map, std::int64_t images, const at::Tensor &like) {
  return at::empty({blocks<F>(images), map.channels, map.height, map.width, F::L}, like.options());
}

template <class F> at::Tensor to_blocks(const at::Tensor &images, const Map &map) {
  using T = Num<F>;
  const auto x = images.contiguous();
  const at::Tensor out = empty_map<F>(map, x.size(0), x);
  naslab::share(blocks<F>(x.size(0)), map.block() * F::L, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t b = from; b < to; ++b) {
      Kernels<F>::to_block(x.const_data_ptr<T>(), out.data_ptr<T>(), map, x.size(0), b);
    }
  });
  return out;
}

template <class F> at::Tensor from_blocks(const at::Tensor &x, const Map &map, std::int64_t images) {
  using T = Num<F>;
  const at::Tensor out = at::empty({images, map.channels, map.height, map.width}, x.options());
  naslab::share(blocks<F>(images), map.block() * F::L, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t b = from; b < to; ++b) {
      Kernels<F>::from_block(x.const_data_ptr<T>(), out.data_ptr<T>(), map, images, b);
    }
  });
  return out;
}

// What a stage is remembered by: `h`, and a row each of mean, inverse, gain, and the scale and shift that make y of h.
struct Kept {
  at::Tensor h, numbers;
  template <class F> const Num<F> *row(std::int64_t i) const { return numbers.const_data_ptr<Num<F>>() + i * numbers.size(1); }
};
enum Row : std::int64_t { MEAN, INVERSE, GAIN, SCALE, SHIFT, ROWS };

// A mixture in progress: its plan, its inputs, its maps in blocks, and what its stages are remembered by.
template <class F> struct Mixture {
  using T = Num<F>;
  const Plan &plan;
  variable_list inputs, maps;
  std::vector<std::vector<Kept>> kept;
  // Sources whose gradient holds something.
  std::vector<bool> begun;

  static constexpr std::int64_t L = F::L;

  Mixture(const Plan &plan, const variable_list &given) : plan(plan), inputs(given) {
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(inputs.size()); ++i) {
      auto &x = inputs[static_cast<std::size_t>(i)];
      x = x.contiguous();
      if (i < plan.sources) {
        const auto &map = plan.maps[static_cast<std::size_t>(i)];
        maps.push_back(plan.nchw ? to_blocks<F>(x, map) : x);
      }
    }
  }

  const Num<F> *input(std::int64_t position) const {
    return position < 0 ? nullptr : inputs[static_cast<std::size_t>(position)].template const_data_ptr<T>();
  }
  const Num<F> *map(std::int64_t source) const { return maps[static_cast<std::size_t>(source)].template const_data_ptr<T>(); }
  std::int64_t block_count() const { return blocks<F>(plan.images); }
  std::int64_t lanes(std::int64_t block) const { return std::min(L, plan.images - block * L); }
  double pixels(const Stage &s) const { return static_cast<double>(plan.images * s.out.plane()); }
  double coefficient(const Term &t) const {
    return t.coefficient < 0 ? 1.0 : static_cast<double>(input(plan.coefficients)[t.coefficient]);
  }

  Run<F> run(std::size_t term, std::size_t stage) const {
    const auto &s = plan.terms[term].stages[stage];
    const auto &own = kept[term][stage];
    Run<F> r{};
    r.s = &s;
    r.images = plan.images;
    if (stage == 0) {
      r.x = map(plan.terms[term].source);
    } else {
      const auto &before = kept[term][stage - 1];
      r.x = before.h.template const_data_ptr<T>();
      r.scale = before.template row<F>(SCALE);
      r.shift = before.template row<F>(SHIFT);
    }
    r.depthwise = input(s.depthwise);
    r.pointwise = input(s.pointwise);
    r.h = own.h.template data_ptr<T>();
    r.mean = own.template row<F>(MEAN);
    r.inverse = own.template row<F>(INVERSE);
    r.gain = own.template row<F>(GAIN);
    return r;
  }

  at::Tensor forward(const std::vector<at::Tensor> &running) {
    const std::int64_t count = block_count();
    kept.resize(plan.terms.size());
    for (std::int64_t level = 0; level < plan.stages(); ++level) {
      std::vector<std::size_t> terms;
      std::int64_t work = 0, widest = 0;
      for (std::size_t t = 0; t < plan.terms.size(); ++t) {
        if (level < static_cast<std::int64_t>(plan.terms[t].stages.size())) {
          const auto &s = plan.terms[t].stages[static_cast<std::size_t>(level)];
          kept[t].push_back({empty_map<F>(s.out, plan.images, inputs[0]), at::empty({ROWS, s.out.channels}, inputs[0].options())});
          terms.push_back(t);
          work += s.work() * L;
          widest = std::max(widest, s.out.channels);
        }
      }
      std::vector<double> sums(2 * static_cast<std::size_t>(static_cast<std::int64_t>(terms.size()) * count * widest));
      auto runs = groups(terms, level == 0, [&](std::size_t i) {
        auto r = run(terms[i], static_cast<std::size_t>(level));
        if (plan.training) {
          r.sums = sums.data() + 2 * static_cast<std::int64_t>(i) * count * widest;
          r.products = r.sums + count * widest;
        }
        return r;
      });
      const auto all = static_cast<std::int64_t>(runs.size());
      naslab::share(all * count, work / all, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t i = from; i < to; ++i) {
          // All terms of a block, then the next block: so the threads' shares are alike.
          const auto &group = runs[static_cast<std::size_t>(i % all)];
          Kernels<F>::forward(group.data(), static_cast<std::int64_t>(group.size()), i / all);
        }
      });
      for (std::size_t i = 0; i < terms.size(); ++i) {
        const double *from = sums.data() + 2 * static_cast<std::int64_t>(i) * count * widest;
        normalise(terms[i], static_cast<std::size_t>(level), from, from + count * widest, running);
      }
    }
    return sum();
  }

  // `make(i)` of every term `i`; terms of one source together if `by_source`, else each for itself.
  template <class Make> std::vector<std::vector<Run<F>>> groups(const std::vector<std::size_t> &terms, bool by_source, Make make) const {
    std::vector<std::vector<Run<F>>> out;
    std::vector<std::int64_t> sources;
    for (std::size_t i = 0; i < terms.size(); ++i) {
      const auto source = plan.terms[terms[i]].source;
      const auto at = by_source ? std::find(sources.begin(), sources.end(), source) : sources.end();
      if (at == sources.end()) {
        sources.push_back(source);
        out.push_back({make(i)});
      } else {
        out[static_cast<std::size_t>(at - sources.begin())].push_back(make(i));
      }
    }
    return out;
  }

  // Statistics of a stage from those of its blocks.
  void normalise(std::size_t term, std::size_t level, const double *sums, const double *squares, const std::vector<at::Tensor> &running) {
    const Term &t = plan.terms[term];
    const Stage &s = t.stages[level];
    T *mean = running[static_cast<std::size_t>(s.running)].template data_ptr<T>();
    T *var = running[static_cast<std::size_t>(s.running + 1)].template data_ptr<T>();
    for (std::int64_t i = 0; i < 2; ++i) {
      const auto &r = running[static_cast<std::size_t>(s.running + i)];
      TORCH_CHECK(r.dim() == 1 && r.size(0) == s.out.channels && r.is_contiguous(), "naslab: running statistics are one number a channel");
    }
    const Num<F> *gamma = input(s.gamma), *beta = s.gamma < 0 ? nullptr : input(s.gamma + 1);
    const double factor = level + 1 == t.stages.size() ? coefficient(t) : 1.0, all = pixels(s);
    T *numbers = kept[term][level].numbers.template data_ptr<T>();
    for (std::int64_t o = 0; o < s.out.channels; ++o) {
      double m = mean[o], v = var[o];
      if (plan.training) {
        double total = 0, square = 0;
        for (std::int64_t b = 0; b < block_count(); ++b) {
          total += sums[b * s.out.channels + o];
        }
        m = total / all;
        for (std::int64_t b = 0; b < block_count(); ++b) {
          const double n = static_cast<double>(lanes(b) * s.out.plane()), away = sums[b * s.out.channels + o] / n - m;
          // The block's squares are around its mean rounded to T, which is the same to the precision of T.
          square += squares[b * s.out.channels + o] + n * away * away;
        }
        v = square / all;
        mean[o] = static_cast<T>((1 - MOMENTUM) * mean[o] + MOMENTUM * m);
        var[o] = static_cast<T>((1 - MOMENTUM) * var[o] + MOMENTUM * square / std::max(all - 1, 1.0));
      }
      const double inverse = 1 / std::sqrt(v + EPSILON), gain = factor * (gamma != nullptr ? static_cast<double>(gamma[o]) : 1.0);
      const auto set = [&](Row row, double value) { numbers[row * s.out.channels + o] = static_cast<T>(value); };
      set(MEAN, m);
      set(INVERSE, inverse);
      set(GAIN, gain);
      set(SCALE, gain * inverse);
      set(SHIFT, factor * (beta != nullptr ? static_cast<double>(beta[o]) : 0.0) - gain * inverse * m);
    }
  }

  at::Tensor sum() {
    const Map &out = plan.out;
    const auto y = empty_map<F>(out, plan.images, inputs[0]);
    const std::int64_t pixels = out.plane(), count = block_count() * out.channels;
    naslab::share(count, static_cast<std::int64_t>(plan.terms.size()) * pixels * L, [&](std::int64_t from, std::int64_t to) {
      std::vector<Addend<F>> addends;
      for (std::int64_t i = from; i < to; ++i) {
        const std::int64_t b = i / out.channels, c = i % out.channels;
        addends.clear();
        for (std::size_t t = 0; t < plan.terms.size(); ++t) {
          const Term &term = plan.terms[t];
          if (term.stages.empty()) {
            addends.push_back({map(term.source) + i * pixels * L, static_cast<T>(coefficient(term)), T(0)});
            continue;
          }
          const Stage &s = term.stages.back();
          const std::int64_t o = c - s.first;
          if (o >= 0 && o < s.out.channels) {
            const Kept &k = kept[t].back();
            const T *h = k.h.template const_data_ptr<T>() + (b * s.out.channels + o) * pixels * L;
            addends.push_back({h, k.template row<F>(SCALE)[o], k.template row<F>(SHIFT)[o]});
          }
        }
        Kernels<F>::sum_up(y.template data_ptr<T>() + i * pixels * L, addends.data(), static_cast<std::int64_t>(addends.size()), pixels);
      }
    });
    return plan.nchw ? from_blocks<F>(y, out, plan.images) : y;
  }

  // Gradients of all inputs from that of the sum; undefined where `wanted` is false.
  variable_list backward(const at::Tensor &given, const std::vector<bool> &wanted) {
    const auto g = plan.nchw ? to_blocks<F>(given, plan.out) : given.contiguous();
    variable_list out(inputs.size());
    variable_list to_map(static_cast<std::size_t>(plan.sources));
    std::vector<double> coefficients(plan.coefficients < 0 ? 0 : static_cast<std::size_t>(inputs[static_cast<std::size_t>(plan.coefficients)].numel()));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (wanted[i] && i < to_map.size()) {
        to_map[i] = at::empty_like(maps[i]);
      }
    }
    const bool want_coefficients = plan.coefficients >= 0 && wanted[static_cast<std::size_t>(plan.coefficients)];
    begun.assign(to_map.size(), false);
    linear_terms(g, to_map, coefficients, want_coefficients);
    // The gradient of what a stage gives: of the sum for the last one, of the next stage's input else.
    variable_list gradients(plan.terms.size(), g);
    std::vector<Totals> totals(plan.terms.size());
    for (std::int64_t level = 0; level < plan.stages(); ++level) {
      sum_gradients(gradients, totals, level);
      std::vector<std::size_t> terms;
      for (std::size_t t = 0; t < plan.terms.size(); ++t) {
        if (stage_at(t, level) >= 0) {
          terms.push_back(t);
        }
      }
      step_back(terms, level, gradients, totals, to_map, coefficients, wanted, out);
    }
    for (std::size_t i = 0; i < to_map.size(); ++i) {
      if (to_map[i].defined()) {
        if (!begun[i]) {
          to_map[i].zero_();
        }
        out[i] = plan.nchw ? from_blocks<F>(to_map[i], plan.maps[i], plan.images) : to_map[i];
      }
    }
    if (want_coefficients) {
      const auto at = static_cast<std::size_t>(plan.coefficients);
      out[at] = at::empty_like(inputs[at]);
      std::copy(coefficients.begin(), coefficients.end(), out[at].template data_ptr<T>());
    }
    return out;
  }

  // Sums over all images of a stage's gradient and of that times the normalised map.
  struct Totals {
    std::vector<double> plain, sloped;
  };

  // Which stage of a term is the `level`-th from its end; negative if there is none.
  std::int64_t stage_at(std::size_t term, std::int64_t level) const {
    return static_cast<std::int64_t>(plan.terms[term].stages.size()) - 1 - level;
  }

  void linear_terms(const at::Tensor &g, variable_list &to_map, std::vector<double> &coefficients, bool want_coefficients) {
    const std::int64_t count = block_count(), size = plan.out.block();
    for (const Term &t : plan.terms) {
      if (!t.stages.empty()) {
        continue;
      }
      const auto &to = to_map[static_cast<std::size_t>(t.source)];
      std::vector<double> parts(static_cast<std::size_t>(count));
      naslab::share(count, size * L, [&](std::int64_t from, std::int64_t until) {
        for (std::int64_t b = from; b < until; ++b) {
          const Num<F> *block = g.template const_data_ptr<T>() + b * size * L;
          if (to.defined()) {
            Kernels<F>::add(to.template data_ptr<T>() + b * size * L, block, size, static_cast<T>(coefficient(t)),
                            !begun[static_cast<std::size_t>(t.source)]);
          }
          if (want_coefficients && t.coefficient >= 0) {
            parts[static_cast<std::size_t>(b)] = Kernels<F>::inner(block, map(t.source) + b * size * L, size, lanes(b));
          }
        }
      });
      begun[static_cast<std::size_t>(t.source)] = true;
      for (const double part : parts) {
        if (t.coefficient >= 0) {
          coefficients[static_cast<std::size_t>(t.coefficient)] += part;
        }
      }
    }
  }

  // Totals of the `level`-th stages from the end.
  void sum_gradients(const variable_list &gradients, std::vector<Totals> &totals, std::int64_t level) {
    const std::int64_t count = block_count();
    std::vector<std::size_t> terms;
    std::vector<Run<F>> runs;
    std::int64_t widest = 0, work = 0;
    for (std::size_t t = 0; t < plan.terms.size(); ++t) {
      if (stage_at(t, level) >= 0) {
        auto r = run(t, static_cast<std::size_t>(stage_at(t, level)));
        receive(r, gradients[t], level);
        terms.push_back(t);
        runs.push_back(r);
        widest = std::max(widest, r.gradient_channels);
        work += r.s->out.plane() * L;
      }
    }
    std::vector<double> sums(2 * static_cast<std::size_t>(static_cast<std::int64_t>(runs.size()) * count * widest));
    for (std::size_t i = 0; i < runs.size(); ++i) {
      runs[i].sums = sums.data() + 2 * static_cast<std::int64_t>(i) * count * widest;
      runs[i].products = runs[i].sums + count * widest;
    }
    naslab::share(count * widest, work, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i) {
        Kernels<F>::sums(runs.data(), static_cast<std::int64_t>(runs.size()), i / widest, i % widest);
      }
    });
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const auto channels = static_cast<std::size_t>(runs[i].s->out.channels);
      Totals &total = totals[terms[i]] = {std::vector<double>(channels), std::vector<double>(channels)};
      for (std::size_t b = 0; b < static_cast<std::size_t>(count); ++b) {
        for (std::size_t o = 0; o < channels; ++o) {
          total.plain[o] += runs[i].sums[b * channels + o];
          total.sloped[o] += runs[i].products[b * channels + o];
        }
      }
    }
  }

  // The gradient of what a `level`-th stage from the end gives.
  void receive(Run<F> &r, const at::Tensor &gradient, std::int64_t level) const {
    r.gradient = gradient.template const_data_ptr<T>();
    r.gradient_channels = level == 0 ? plan.out.channels : r.s->out.channels;
    r.gradient_first = level == 0 ? r.s->first : 0;
  }

  // The `level`-th stages from the end of these terms: gradients of their weights, and of what they read.
  void step_back(const std::vector<std::size_t> &terms, std::int64_t level, variable_list &gradients, const std::vector<Totals> &totals,
                 const variable_list &to_map, std::vector<double> &coefficients, const std::vector<bool> &wanted, variable_list &out) {
    const std::int64_t count = block_count();
    std::vector<Run<F>> runs;
    std::vector<at::Tensor> numbers, to_depthwise, to_pointwise;
    variable_list next = gradients;
    std::int64_t work = 0;
    for (const auto t : terms) {
      const auto stage = static_cast<std::size_t>(stage_at(t, level));
      const Term &term = plan.terms[t];
      const Stage &s = term.stages[stage];
      const auto want = [&](std::int64_t position) { return position >= 0 && wanted[static_cast<std::size_t>(position)]; };
      auto r = run(t, stage);
      const auto n = at::empty({2, s.out.channels}, inputs[0].options());
      T *mean = n.template data_ptr<T>(), *slope = mean + s.out.channels;
      const Num<F> *gamma = input(s.gamma), *beta = s.gamma < 0 ? nullptr : input(s.gamma + 1);
      const double factor = level == 0 ? coefficient(term) : 1.0;
      double by_coefficient = 0;
      for (std::int64_t o = 0; o < s.out.channels; ++o) {
        const double plain = totals[t].plain[static_cast<std::size_t>(o)], sloped = totals[t].sloped[static_cast<std::size_t>(o)];
        mean[o] = static_cast<T>(plain / pixels(s));
        slope[o] = static_cast<T>(sloped / pixels(s));
        by_coefficient += gamma != nullptr ? static_cast<double>(gamma[o]) * sloped + static_cast<double>(beta[o]) * plain : sloped;
      }
      if (level == 0 && term.coefficient >= 0) {
        coefficients[static_cast<std::size_t>(term.coefficient)] += by_coefficient;
      }
      for (std::int64_t i = 0; i < 2 && s.gamma >= 0; ++i) {
        if (want(s.gamma + i)) {
          const auto &from = i == 0 ? totals[t].sloped : totals[t].plain;
          auto &to = out[static_cast<std::size_t>(s.gamma + i)];
          to = at::empty({s.out.channels}, inputs[0].options());
          std::transform(from.begin(), from.end(), to.template data_ptr<T>(), [&](double v) { return static_cast<T>(v * factor); });
        }
      }
      r.gradient_mean = mean;
      r.gradient_slope = slope;
      receive(r, gradients[t], level);
      numbers.push_back(n);
      const auto partial = [&](bool wants, std::int64_t position) {
        return wants ? at::empty({count, inputs[static_cast<std::size_t>(position)].numel()}, inputs[0].options()) : at::Tensor();
      };
      to_depthwise.push_back(partial(want(s.depthwise), s.depthwise));
      to_pointwise.push_back(partial(want(s.pointwise), s.pointwise));
      const auto pointer = [](const at::Tensor &x) { return x.defined() ? x.template data_ptr<T>() : nullptr; };
      r.to_depthwise = pointer(to_depthwise.back());
      r.to_pointwise = pointer(to_pointwise.back());
      if (stage > 0) {
        next[t] = at::empty_like(kept[t][stage - 1].h);
        r.to_x = next[t].template data_ptr<T>();
        r.fresh = true;
      } else {
        r.to_x = pointer(to_map[static_cast<std::size_t>(term.source)]);
        r.fresh = !begun[static_cast<std::size_t>(term.source)];
      }
      runs.push_back(r);
      work = std::max(work, s.work() * L * 3);
    }
    // Terms of one source add to one map.
    const auto together = groups(terms, true, [&](std::size_t i) { return runs[i]; });
    const auto all = static_cast<std::int64_t>(together.size());
    naslab::share(all * count, work, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i) {
        const auto &group = together[static_cast<std::size_t>(i % all)];
        Kernels<F>::backward(group.data(), static_cast<std::int64_t>(group.size()), i / all);
      }
    });
    for (std::size_t k = 0; k < terms.size(); ++k) {
      const Stage &s = *runs[k].s;
      if (stage_at(terms[k], level) == 0) {
        begun[static_cast<std::size_t>(plan.terms[terms[k]].source)] = true;
      }
      total(to_depthwise[k], s.depthwise, out);
      total(to_pointwise[k], s.pointwise, out);
    }
    gradients = std::move(next);
  }

  // Adds the gradients that blocks have of a weight, in their order.
  void total(const at::Tensor &parts, std::int64_t position, variable_list &out) {
    if (!parts.defined()) {
      return;
    }
    auto &to = out[static_cast<std::size_t>(position)];
    to = at::empty_like(inputs[static_cast<std::size_t>(position)]);
    const std::int64_t size = to.numel();
    T *sums = to.template data_ptr<T>();
    const Num<F> *from = parts.template const_data_ptr<T>();
    std::copy(from, from + size, sums);
    for (std::int64_t b = 1; b < parts.size(0); ++b) {
      for (std::int64_t i = 0; i < size; ++i) {
        sums[i] += from[b * size + i];
      }
    }
  }
};

class Sum : public torch::autograd::Function<Sum> {
public:
  static at::Tensor forward(AutogradContext *ctx, const at::TensorList &inputs, const std::vector<at::Tensor> &running,
                            const std::vector<std::int64_t> &numbers) {
    at::AutoDispatchBelowADInplaceOrView below;
    RECORD_FUNCTION("naslab::sum", std::vector<c10::IValue>());
    const variable_list given = inputs.vec();
    for (const auto &x : given) {
      TORCH_CHECK(x.scalar_type() == given[0].scalar_type(), "naslab: tensors of one kind");
    }
    const Plan plan(numbers, given);
    return by_form(given[0], plan.lanes(given[0]), [&](auto form) {
      Mixture<decltype(form)> mixture(plan, given);
      const auto y = mixture.forward(running);
      variable_list saved = given;
      for (const auto &term : mixture.kept) {
        for (const auto &stage : term) {
          saved.push_back(stage.h);
          saved.push_back(stage.numbers);
        }
      }
      ctx->save_for_backward(std::move(saved));
      ctx->saved_data["plan"] = numbers;
      ctx->saved_data["inputs"] = static_cast<std::int64_t>(given.size());
      return y;
    });
  }

  static variable_list backward(AutogradContext *ctx, variable_list gradients) {
    RECORD_FUNCTION("naslab::sum_backward", std::vector<c10::IValue>());
    TORCH_CHECK(!at::GradMode::is_enabled(), "naslab: the gradient of a stage cannot be differentiated again");
    const auto saved = ctx->get_saved_variables();
    const auto count = static_cast<std::ptrdiff_t>(ctx->saved_data["inputs"].toInt());
    const variable_list given(saved.begin(), saved.begin() + count);
    const Plan plan(ctx->saved_data["plan"].toIntVector(), given);
    TORCH_CHECK(plan.training, "naslab: a stage that scores has no gradient");
    std::vector<bool> wanted;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      wanted.push_back(ctx->needs_input_grad(static_cast<std::size_t>(i)));
    }
    auto out = by_form(given[0], plan.lanes(given[0]), [&](auto form) {
      Mixture<decltype(form)> mixture(plan, given);
      auto at = saved.begin() + count;
      for (const auto &term : plan.terms) {
        mixture.kept.emplace_back();
        for (std::size_t i = 0; i < term.stages.size(); ++i, at += 2) {
          mixture.kept.back().push_back({*at, *(at + 1)});
        }
      }
      return mixture.backward(gradients[0], wanted);
    });
    // The statistics and the plan have none.
    out.resize(out.size() + 2);
    return out;
  }
};

} // namespace

// `numbers` describe the terms; see `blocked.rs`. A null pointer without an error where a gradient could be asked for while scoring.
extern "C" at::Tensor *naslab_sum(const at::Tensor *const *inputs, std::int64_t input_count, const at::Tensor *const *running,
                                  std::int64_t running_count, const std::int64_t *numbers, std::int64_t number_count) {
  const bool training = numbers[2] != 0;
  for (std::int64_t i = 0; i < input_count && !training && at::GradMode::is_enabled(); ++i) {
    if (inputs[i]->requires_grad()) {
      // Not for these kernels, and no error.
      naslab::last_error().clear();
      return nullptr;
    }
  }
  return naslab::guarded([&] {
    const auto list = [](const at::Tensor *const *from, std::int64_t count) {
      std::vector<at::Tensor> out;
      for (std::int64_t i = 0; i < count; ++i) {
        out.push_back(*from[i]);
      }
      return out;
    };
    return Sum::apply(at::TensorList(list(inputs, input_count)), list(running, running_count),
                      std::vector<std::int64_t>(numbers, numbers + number_count));
  });
}
