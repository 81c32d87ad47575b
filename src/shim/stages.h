// Stages of a sum over one block of images: ReLU, depthwise convolution, pointwise convolution, and what batch norm needs of them, with their
// gradients. `mixture.cpp` has the sums that they are terms of.

#pragma once

#include "tensors.h"

namespace {

using naslab::add_up;
using naslab::as_vectors;
using naslab::blocks;
using naslab::Num;
using naslab::Planes;
using naslab::plus_lanes;
using naslab::Vec;

// Pixels that are convolved at a time, so that their channels stay in the cache.
constexpr std::int64_t PIXELS = 256;
// Put between the channels of a buffer, so that they do not fall on the same lines of the cache.
constexpr std::int64_t GAP = 4;

// Maps [block][channel][row][column][lane] of `channels` channels.
struct Map {
  std::int64_t channels, height, width;
  std::int64_t plane() const { return height * width; }
  std::int64_t block() const { return channels * plane(); }
};

struct Stage {
  std::int64_t kernel, stride, dilation, shift;
  bool relu;
  // First channel of the sum that it adds to.
  std::int64_t first;
  Map in, out;
  // Positions among the inputs; -1 where there is none. `gamma` is followed by the shift.
  std::int64_t depthwise, pointwise, gamma;
  // Position of the running mean among the statistics, followed by the variance.
  std::int64_t running;

  // The row of the map after those that windows see up to row `row` of the output; of the last one, the last.
  std::int64_t seen(std::int64_t row) const {
    const std::int64_t last = (row - 1) * stride + corner() + dilation * (kernel - 1);
    return row == out.height ? in.height : std::clamp<std::int64_t>(last + 1, 0, in.height);
  }
  // Of the window's top left corner over the map.
  std::int64_t corner() const { return shift - dilation * (kernel - 1) / 2; }
  bool convolves() const { return depthwise >= 0 || stride != 1 || shift != 0; }
  std::int64_t work() const { return out.plane() * in.channels * (out.channels + kernel * kernel); }
};

// A stage with its numbers.
template <class F> struct Run {
  using T = Num<F>;
  const Stage *s;
  std::int64_t images;
  // Maps of blocks; what the stage before still has to do to them is in `scale` and `shift`.
  const Num<F> *x, *scale, *shift;
  const Num<F> *depthwise, *pointwise;
  // What the pointwise convolution gives.
  T *h;
  // Its mean and 1 / standard deviation, a number a channel, as the gradient needs them.
  const Num<F> *mean, *inverse;
  // y = gain * (h - mean) * inverse + anything.
  const Num<F> *gain;
  // Mean over all images of the gradient, and of the gradient times the normalised map.
  const Num<F> *gradient_mean, *gradient_slope;
  // Gradient of y: the channels from `gradient_first` on of `gradient_channels`.
  const Num<F> *gradient;
  std::int64_t gradient_channels, gradient_first;
  // Where the gradients go; null where they are not wanted. That of the input is added to; those of the weights are one a block.
  T *to_x, *to_depthwise, *to_pointwise;
  // Whether `to_x` holds nothing yet.
  bool fresh;
  // Two sums for every block and channel: of h and of its squares around the block's mean, or of the gradient and of that times the normalised
  // map. Null where they are not wanted.
  double *sums, *products;

  std::int64_t valid(std::int64_t block) const { return std::min(F::L, images - block * F::L); }
};

// Sums of products that are in registers at a time: outputs by pixels.
template <class F> constexpr int TILE = F::bytes == 64 ? 4 : 2;

// outs[o][p] = sum over c of w[o * o_step + c * c_step] * ins[c][p]
template <class F>
NASLAB_INLINE void multiply(const Vec<F> *ins, std::int64_t in_step, const Num<F> *w, std::int64_t o_step, std::int64_t c_step,
                            std::int64_t inputs, std::int64_t outputs, std::int64_t pixels, Vec<F> *outs, std::int64_t out_step) {
  using T = Num<F>;
  using V = Vec<F>;
  const auto tile = [&]<int O, int P>(std::int64_t o, std::int64_t p) __attribute__((always_inline)) {
    V sums[O * P]{};
    const V *in = ins + p;
    const T *weights = w + o * o_step;
    for (std::int64_t c = 0; c < inputs; ++c, in += in_step, weights += c_step) {
#pragma GCC unroll 8
      for (int i = 0; i < O; ++i) {
        const T weight = weights[i * o_step];
#pragma GCC unroll 8
        for (int u = 0; u < P; ++u) {
          sums[i * P + u] += weight * in[u];
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < O; ++i) {
#pragma GCC unroll 8
      for (int u = 0; u < P; ++u) {
        outs[(o + i) * out_step + p + u] = sums[i * P + u];
      }
    }
  };
  const auto column = [&]<int O, int P>(std::int64_t p) __attribute__((always_inline)) {
    std::int64_t o = 0;
    for (; o + O <= outputs; o += O) {
      tile.template operator()<O, P>(o, p);
    }
    for (; o < outputs; ++o) {
      tile.template operator()<1, P>(o, p);
    }
  };
  std::int64_t p = 0;
  for (; p + 4 <= pixels; p += 4) {
    column.template operator()<TILE<F>, 4>(p);
  }
  for (; p < pixels; ++p) {
    column.template operator()<4, 1>(p);
  }
}

// sums[o][c] += sum over p of d[o][p] * a[c][p]
template <class F>
NASLAB_INLINE void multiply_transposed(const Vec<F> *d, const Vec<F> *a, std::int64_t step, std::int64_t outputs, std::int64_t inputs,
                                       std::int64_t pixels, Vec<F> *sums) {
  using V = Vec<F>;
  // Pixels whose rows of both stay in the nearest cache.
  constexpr std::int64_t PART = 32;
  for (std::int64_t start = 0; start < pixels; start += PART) {
    const std::int64_t end = std::min(start + PART, pixels);
    const auto tile = [&]<int O, int C>(std::int64_t o, std::int64_t c) __attribute__((always_inline)) {
      V parts[O * C]{};
      const V *from = d + o * step, *by = a + c * step;
      for (std::int64_t p = start; p < end; ++p) {
#pragma GCC unroll 8
        for (int i = 0; i < O; ++i) {
          const V left = from[i * step + p];
#pragma GCC unroll 8
          for (int u = 0; u < C; ++u) {
            parts[i * C + u] += left * by[u * step + p];
          }
        }
      }
#pragma GCC unroll 8
      for (int i = 0; i < O; ++i) {
#pragma GCC unroll 8
        for (int u = 0; u < C; ++u) {
          sums[(o + i) * inputs + c + u] += parts[i * C + u];
        }
      }
    };
    const auto row = [&]<int O>(std::int64_t o) __attribute__((always_inline)) {
      std::int64_t c = 0;
      for (; c + 4 <= inputs; c += 4) {
        tile.template operator()<O, 4>(o, c);
      }
      for (; c < inputs; ++c) {
        tile.template operator()<O, 1>(o, c);
      }
    };
    std::int64_t o = 0;
    for (; o + TILE<F> <= outputs; o += TILE<F>) {
      row.template operator()<TILE<F>>(o);
    }
    for (; o < outputs; ++o) {
      row.template operator()<1>(o);
    }
  }
}

// What a window sees of a channel for rows [row, row + rows) of the output, `wide` columns wide.
template <class F>
NASLAB_INLINE const Vec<F> *window_of(const Run<F> &r, std::int64_t block, std::int64_t c, std::int64_t row, std::int64_t rows, std::int64_t &wide,
                                      Planes<F> &buffer) {
  const Stage &s = *r.s;
  const std::int64_t reach = s.dilation * (s.kernel - 1) + 1, tall = (rows - 1) * s.stride + reach;
  wide = (s.out.width - 1) * s.stride + reach;
  const auto *plane = as_vectors<F>(r.x) + (block * s.in.channels + c) * s.in.plane();
  const Num<F> *scale = r.scale != nullptr ? r.scale + c : nullptr, *shift = r.shift != nullptr ? r.shift + c : nullptr;
  auto *window = buffer.resize(tall * wide);
  naslab::cut<F>(window, plane, s.in.height, s.in.width, row * s.stride + s.corner(), tall, s.corner(), wide, scale, shift, s.relu);
  return window;
}

// Rows [row, row + rows) of a channel of what the pointwise convolution reads, and the window that they are made of: null where there is none.
template <class F>
NASLAB_INLINE const Vec<F> *read(const Run<F> &r, std::int64_t block, std::int64_t c, std::int64_t row, std::int64_t rows, Vec<F> *out,
                                 std::int64_t &wide, Planes<F> &buffer) {
  const Stage &s = *r.s;
  const Num<F> one = 1;
  if (!s.convolves()) {
    const auto *plane = as_vectors<F>(r.x) + (block * s.in.channels + c) * s.in.plane();
    const Num<F> *scale = r.scale != nullptr ? r.scale + c : nullptr, *shift = r.shift != nullptr ? r.shift + c : nullptr;
    naslab::cut<F>(out, plane, s.in.height, s.in.width, row, rows, 0, s.in.width, scale, shift, s.relu);
    return nullptr;
  }
  const auto *window = window_of<F>(r, block, c, row, rows, wide, buffer);
  const Num<F> *w = s.depthwise >= 0 ? r.depthwise + c * s.kernel * s.kernel : &one;
  naslab::correlate<F>(window, wide, w, s.kernel, s.stride, s.dilation, out, rows, s.out.width);
  return window;
}

NASLAB_INLINE std::int64_t rows_at_a_time(const Map &out) { return std::clamp<std::int64_t>(PIXELS / out.width, 1, out.height); }

// Calls `f(i, row, rows)` for some rows of every stage `i`, then for the next ones, so that stages of the same maps find them in the cache.
template <class F, class Function> NASLAB_INLINE void by_rows(const Run<F> *runs, std::int64_t count, Function f) {
  bool more = true;
  for (std::int64_t turn = 0; more; ++turn) {
    more = false;
    for (std::int64_t i = 0; i < count; ++i) {
      const Map &out = runs[i].s->out;
      const std::int64_t most = rows_at_a_time(out), row = turn * most, rows = std::min(most, out.height - row);
      if (rows > 0) {
        f(i, row, rows);
        more = more || row + rows < out.height;
      }
    }
  }
}

// What stages make of block `block` before the batch norm, and the sums of their channels.
template <class F> NASLAB_INLINE void forward_block(const Run<F> *runs, std::int64_t count, std::int64_t block) {
  using T = Num<F>;
  using V = Vec<F>;
  thread_local Planes<F> buffer, middle, statistics;
  thread_local std::vector<T> pivots;
  std::int64_t widest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    widest = std::max(widest, runs[i].s->out.channels);
  }
  V *all_totals = statistics.filled(2 * count * widest, T(0));
  pivots.resize(static_cast<std::size_t>(count * widest));
  by_rows<F>(runs, count, [&](std::int64_t i, std::int64_t row, std::int64_t rows) __attribute__((always_inline)) {
    const Run<F> &r = runs[i];
    const Stage &s = *r.s;
    const std::int64_t start = row * s.out.width, n = rows * s.out.width, step = n + GAP, pixels = s.out.plane();
    V *a = middle.resize(s.in.channels * step), *totals = all_totals + 2 * i * widest;
    V *h = as_vectors<F>(r.h) + block * s.out.block();
    for (std::int64_t c = 0, wide = 0; c < s.in.channels; ++c) {
      read<F>(r, block, c, row, rows, a + c * step, wide, buffer);
    }
    multiply<F>(a, step, r.pointwise, s.in.channels, 1, s.in.channels, s.out.channels, n, h + start, pixels);
    for (std::int64_t o = 0; r.sums != nullptr && o < s.out.channels; ++o) {
      const V *at = h + o * pixels;
      // Squares are summed around what is near the mean already.
      T &pivot = pivots[static_cast<std::size_t>(i * widest + o)];
      pivot = row == 0 ? plus_lanes(T(0), at[0], r.valid(block)) / static_cast<T>(r.valid(block)) : pivot;
      add_up<V, 2>(start, n, totals + 2 * o, [&, around = pivot](std::int64_t p, V *to) __attribute__((always_inline)) {
        const V d = at[p] - around;
        to[0] += d;
        to[1] += d * d;
      });
    }
  });
  for (std::int64_t i = 0; i < count; ++i) {
    const Run<F> &r = runs[i];
    const std::int64_t outputs = r.s->out.channels, lanes = r.valid(block);
    const double numbers = static_cast<double>(lanes * r.s->out.plane());
    for (std::int64_t o = 0; r.sums != nullptr && o < outputs; ++o) {
      const V *totals = all_totals + 2 * (i * widest + o);
      const double away = plus_lanes(0.0, totals[0], lanes), pivot = static_cast<double>(pivots[static_cast<std::size_t>(i * widest + o)]);
      r.sums[block * outputs + o] = away + numbers * pivot;
      r.products[block * outputs + o] = std::max(0.0, plus_lanes(0.0, totals[1], lanes) - away * away / numbers);
    }
  }
}

// Sums over channel `channel` of a block of what stages give: of the gradient, and of that times the normalised map.
template <class F> NASLAB_INLINE void gradient_sums(const Run<F> *runs, std::int64_t count, std::int64_t block, std::int64_t channel) {
  using V = Vec<F>;
  for (std::int64_t i = 0; i < count; ++i) {
    const Run<F> &r = runs[i];
    const std::int64_t o = channel - r.gradient_first, outputs = r.s->out.channels, pixels = r.s->out.plane(), lanes = r.valid(block);
    if (o < 0 || o >= outputs) {
      continue;
    }
    const V *at = as_vectors<F>(r.gradient) + (block * r.gradient_channels + channel) * pixels;
    const V *h = as_vectors<F>(r.h) + (block * outputs + o) * pixels;
    V totals[2]{};
    add_up<V, 2>(0, pixels, totals, [&, mean = r.mean[o]](std::int64_t p, V *to) __attribute__((always_inline)) {
      to[0] += at[p];
      to[1] += at[p] * (h[p] - mean);
    });
    r.sums[block * outputs + o] = plus_lanes(0.0, totals[0], lanes);
    r.products[block * outputs + o] = plus_lanes(0.0, totals[1], lanes) * static_cast<double>(r.inverse[o]);
  }
}

// Adds to rows of a channel's gradient what a depthwise convolution with stride 1 passes back from `rows` rows of its output, which are in the
// middle of a border on the left and right, `width` wide. Row `top` of the map is the first that a window over them sees.
template <class F, int K, class Add>
NASLAB_INLINE void spread_as(const Vec<F> *bordered, std::int64_t width, const Num<F> *flipped, const Stage &s, std::int64_t top, std::int64_t rows,
                             Add add) {
  const std::int64_t k = K > 0 ? K : s.kernel, d = s.dilation, reach = d * (k - 1) + 1;
  for (std::int64_t i = std::max<std::int64_t>(top, 0); i < std::min(top + rows + reach - 1, s.in.height); ++i) {
    // Tap `ki` of the flipped kernel reads row `first + ki * d`.
    const std::int64_t first = i - top - (reach - 1);
    const std::int64_t from = first < 0 ? (d - 1 - first) / d : 0, to = std::min(k, (rows - 1 - first) / d + 1);
    naslab::by_columns(s.in.width, [&]<int M>(std::int64_t j) __attribute__((always_inline)) {
      Vec<F> sums[M]{};
      naslab::convolve_columns<F, K, 1, M>(sums, bordered, width, flipped, k, 1, d, first, from, to, j);
#pragma GCC unroll 8
      for (int u = 0; u < M; ++u) {
        add(i, j + u, sums[u]);
      }
    });
  }
}

// Adds to channel `c` of the gradient of what a stage reads what rows [row, row + rows) of its output pass back, `da`.
template <class F>
NASLAB_INLINE void pass_back(const Run<F> &r, std::int64_t block, std::int64_t c, std::int64_t row, std::int64_t rows, const Vec<F> *da) {
  using T = Num<F>;
  using V = Vec<F>;
  thread_local Planes<F> wide, back;
  thread_local std::vector<T> flipped;
  const Stage &s = *r.s;
  const T one = 1;
  const std::int64_t area = s.kernel * s.kernel, reach = s.dilation * (s.kernel - 1) + 1, at = (block * s.in.channels + c) * s.in.plane();
  const T *w = s.depthwise >= 0 ? r.depthwise + c * area : &one;
  const V *plane = as_vectors<F>(r.x) + at;
  V *out = as_vectors<F>(r.to_x) + at;
  const auto with = [&](auto mask) __attribute__((always_inline)) {
    const auto add = [&](std::int64_t i, std::int64_t j, const V &g) __attribute__((always_inline)) {
      const std::int64_t p = i * s.in.width + j;
      // Of the next channel.
      __builtin_prefetch(out + p + s.in.plane(), 1);
      mask(out[p], plane[p], g);
    };
    if (s.stride == 1 && s.kernel > 1) {
      flipped.resize(static_cast<std::size_t>(area));
      std::reverse_copy(w, w + area, flipped.begin());
      const std::int64_t width = s.in.width + reach - 1;
      V *bordered = wide.resize(rows * width);
      naslab::cut<F>(bordered, da, rows, s.out.width, 0, rows, s.corner(), width, nullptr, nullptr, false);
      if (s.kernel == 3) {
        spread_as<F, 3>(bordered, width, flipped.data(), s, row + s.corner(), rows, add);
      } else if (s.kernel == 5) {
        spread_as<F, 5>(bordered, width, flipped.data(), s, row + s.corner(), rows, add);
      } else {
        spread_as<F, 0>(bordered, width, flipped.data(), s, row + s.corner(), rows, add);
      }
      return;
    }
    // Row i and column j of the map are row i - top and column j - left of `result`, which has `across` columns and `down` rows.
    const V *result = da;
    std::int64_t top = row, left = 0, across = s.out.width, down = rows;
    if (s.convolves()) {
      top = row * s.stride + s.corner(), left = s.corner();
      down = (rows - 1) * s.stride + reach, across = (s.out.width - 1) * s.stride + reach;
      V *to = back.filled(down * across, T(0));
      naslab::scatter<F>(to, across, w, da, s.kernel, s.stride, s.dilation, rows, s.out.width);
      result = to;
    }
    const std::int64_t from = std::max<std::int64_t>(left, 0), until = std::min(left + across, s.in.width);
    for (std::int64_t i = std::max<std::int64_t>(top, 0); i < std::min(top + down, s.in.height); ++i) {
      for (std::int64_t j = from; j < until; ++j) {
        add(i, j, result[(i - top) * across + j - left]);
      }
    }
  };
  if (!s.relu) {
    with([](V &to, const V &, const V &g) __attribute__((always_inline)) { to += g; });
  } else if (r.scale != nullptr) {
    with([scale = r.scale[c], shift = r.shift[c]](V &to, const V &x, const V &g) __attribute__((always_inline)) {
      to += x * scale + shift > V{} ? g : V{};
    });
  } else {
    with([](V &to, const V &x, const V &g) __attribute__((always_inline)) { to += x > V{} ? g : V{}; });
  }
}

// The gradient of stages for one block.
template <class F> NASLAB_INLINE void backward_block(const Run<F> *runs, std::int64_t count, std::int64_t block) {
  using T = Num<F>;
  using V = Vec<F>;
  thread_local Planes<F> buffer, middle, convolved, inner, weights, taps;
  std::int64_t most_weights = 0, most_taps = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const Stage &s = *runs[i].s;
    most_weights = std::max(most_weights, s.out.channels * s.in.channels);
    most_taps = std::max(most_taps, s.in.channels * s.kernel * s.kernel);
  }
  // Rows of `to_x` that hold something, by the first stage that has it.
  thread_local std::vector<std::int64_t> begun;
  begun.assign(static_cast<std::size_t>(count), 0);
  V *by_weight = weights.filled(count * most_weights, T(0)), *by_tap = taps.filled(count * most_taps, T(0));
  by_rows<F>(runs, count, [&](std::int64_t i, std::int64_t row, std::int64_t rows) __attribute__((always_inline)) {
    const Run<F> &r = runs[i];
    const Stage &s = *r.s;
    const std::int64_t inputs = s.in.channels, outputs = s.out.channels, pixels = s.out.plane(), lanes = r.valid(block);
    const std::int64_t n = rows * s.out.width, start = row * s.out.width, step = n + GAP;
    const bool want_inner = r.to_x != nullptr || r.to_depthwise != nullptr;
    V *dh = middle.resize(outputs * step), *a = convolved.resize(inputs * step), *da = inner.resize(inputs * step);
    for (std::int64_t o = 0; o < outputs; ++o) {
      const V *g = as_vectors<F>(r.gradient) + (block * r.gradient_channels + r.gradient_first + o) * pixels + start;
      const V *h = as_vectors<F>(r.h) + (block * outputs + o) * pixels + start;
      V gain{};
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        gain[lane] = r.gain[o] * r.inverse[o];
      }
      const T mean = r.mean[o], slope = r.inverse[o] * r.gradient_slope[o], flat = r.gradient_mean[o];
      V *to = dh + o * step;
      for (std::int64_t p = 0; p < n; ++p) {
        // Of the next channel, which lies too far off for the processor to foresee.
        __builtin_prefetch(g + pixels + p);
        __builtin_prefetch(h + pixels + p);
        to[p] = gain * ((g[p] - flat) - (h[p] - mean) * slope);
      }
    }
    if (want_inner) {
      multiply<F>(dh, step, r.pointwise, 1, inputs, outputs, inputs, n, da, step);
    }
    const auto first = std::find_if(runs, runs + i, [&](const Run<F> &other) { return other.to_x == r.to_x; }) - runs;
    std::int64_t &filled = begun[static_cast<std::size_t>(first)];
    const std::int64_t empty = r.fresh ? filled : s.in.height;
    filled = std::max(filled, s.seen(row + rows));
    for (std::int64_t c = 0, wide = 0; c < inputs; ++c) {
      const V *window = nullptr;
      if (r.to_pointwise != nullptr) {
        window = read<F>(r, block, c, row, rows, a + c * step, wide, buffer);
      } else if (r.to_depthwise != nullptr) {
        window = window_of<F>(r, block, c, row, rows, wide, buffer);
      }
      if (r.to_depthwise != nullptr) {
        V *to = by_tap + i * most_taps + c * s.kernel * s.kernel;
        naslab::gather_taps<F>(window, wide, da + c * step, s.kernel, s.stride, s.dilation, to, rows, s.out.width);
      }
      if (r.to_x != nullptr) {
        V *plane = as_vectors<F>(r.to_x) + (block * inputs + c) * s.in.plane();
        std::fill(plane + std::min(empty, filled) * s.in.width, plane + filled * s.in.width, V{});
        pass_back<F>(r, block, c, row, rows, da + c * step);
      }
    }
    if (r.to_pointwise != nullptr) {
      multiply_transposed<F>(dh, a, step, outputs, inputs, n, by_weight + i * most_weights);
    }
  });
  for (std::int64_t i = 0; i < count; ++i) {
    const Run<F> &r = runs[i];
    const auto finish = [&](T *to, const V *sums, std::int64_t size) __attribute__((always_inline)) {
      for (std::int64_t k = 0; to != nullptr && k < size; ++k) {
        to[block * size + k] = plus_lanes(T(0), sums[k], r.valid(block));
      }
    };
    finish(r.to_pointwise, by_weight + i * most_weights, r.s->out.channels * r.s->in.channels);
    finish(r.to_depthwise, by_tap + i * most_taps, r.s->in.channels * r.s->kernel * r.s->kernel);
  }
}

// Something that is added to a channel of a block: x * scale + shift.
template <class F> struct Addend {
  const Num<F> *x;
  Num<F> scale, shift;
};

// y = the sum of addends.
template <class F> NASLAB_INLINE void sum_up(Num<F> *y, const Addend<F> *addends, std::int64_t count, std::int64_t pixels) {
  using V = Vec<F>;
  auto *to = as_vectors<F>(y);
  naslab::by_columns(pixels, [&]<int M>(std::int64_t p) __attribute__((always_inline)) {
    V sums[M]{};
    for (std::int64_t i = 0; i < count; ++i) {
      const V *x = as_vectors<F>(addends[i].x) + p;
#pragma GCC unroll 8
      for (int u = 0; u < M; ++u) {
        sums[u] += x[u] * addends[i].scale + addends[i].shift;
      }
    }
#pragma GCC unroll 8
    for (int u = 0; u < M; ++u) {
      to[p + u] = sums[u];
    }
  });
}

// y += x * scale; y = x * scale if it is `fresh`.
template <class F> NASLAB_INLINE void add(Num<F> *y, const Num<F> *x, std::int64_t vectors, Num<F> scale, bool fresh) {
  auto *to = as_vectors<F>(y);
  const auto *from = as_vectors<F>(x);
  for (std::int64_t p = 0; p < vectors; ++p) {
    to[p] = fresh ? from[p] * scale : to[p] + from[p] * scale;
  }
}

// Sum of products of two maps' blocks.
template <class F> NASLAB_INLINE double inner(const Num<F> *a, const Num<F> *b, std::int64_t vectors, std::int64_t lanes) {
  using V = Vec<F>;
  V sums[4]{};
  const V *u = as_vectors<F>(a), *v = as_vectors<F>(b);
  for (std::int64_t i = 0; i < vectors; ++i) {
    sums[i % 4] += u[i] * v[i];
  }
  return plus_lanes(0.0, (sums[0] + sums[1]) + (sums[2] + sums[3]), lanes);
}

// Images [N, C, H, W] to blocks and back.
template <class F> NASLAB_INLINE void to_block(const Num<F> *x, Num<F> *to, const Map &map, std::int64_t images, std::int64_t block) {
  const std::int64_t count = std::min(F::L, images - block * F::L), size = map.block();
  auto *out = as_vectors<F>(to) + block * size;
  if (count < F::L) {
    std::fill(out, out + size, Vec<F>{});
  }
  naslab::interleave<F>(x + block * F::L * size, size, count, size, [&](std::int64_t i) __attribute__((always_inline)) { return out + i; });
}

template <class F> NASLAB_INLINE void from_block(const Num<F> *x, Num<F> *to, const Map &map, std::int64_t images, std::int64_t block) {
  const std::int64_t count = std::min(F::L, images - block * F::L), size = map.block();
  const auto *in = as_vectors<F>(x) + block * size;
  naslab::separate<F>(to + block * F::L * size, size, count, size, [&](std::int64_t i) __attribute__((always_inline)) { return in + i; });
}

template <class F> struct Kernels;
#define NASLAB_MIXTURE_FOR(F, TARGET)                                                                                                        \
  TARGET void forward_##F(const Run<F> *runs, std::int64_t count, std::int64_t block) { forward_block<F>(runs, count, block); }              \
  TARGET void sums_##F(const Run<F> *runs, std::int64_t count, std::int64_t block, std::int64_t channel) {                                   \
    gradient_sums<F>(runs, count, block, channel);                                                                                           \
  }                                                                                                                                          \
  TARGET void backward_##F(const Run<F> *runs, std::int64_t count, std::int64_t block) { backward_block<F>(runs, count, block); }            \
  TARGET void sum_up_##F(Num<F> *y, const Addend<F> *addends, std::int64_t count, std::int64_t pixels) {                                     \
    sum_up<F>(y, addends, count, pixels);                                                                                                    \
  }                                                                                                                                          \
  TARGET void add_##F(Num<F> *y, const Num<F> *x, std::int64_t vectors, Num<F> scale, bool fresh) {                                          \
    add<F>(y, x, vectors, scale, fresh);                                                                                                     \
  }                                                                                                                                          \
  TARGET double inner_##F(const Num<F> *a, const Num<F> *b, std::int64_t vectors, std::int64_t lanes) {                                      \
    return inner<F>(a, b, vectors, lanes);                                                                                                   \
  }                                                                                                                                          \
  TARGET void to_block_##F(const Num<F> *x, Num<F> *to, const Map &map, std::int64_t images, std::int64_t block) {                           \
    to_block<F>(x, to, map, images, block);                                                                                                  \
  }                                                                                                                                          \
  TARGET void from_block_##F(const Num<F> *x, Num<F> *to, const Map &map, std::int64_t images, std::int64_t block) {                         \
    from_block<F>(x, to, map, images, block);                                                                                                \
  }                                                                                                                                          \
  template <> struct Kernels<F> {                                                                                                            \
    static constexpr auto forward = forward_##F;                                                                                             \
    static constexpr auto sums = sums_##F;                                                                                                   \
    static constexpr auto backward = backward_##F;                                                                                           \
    static constexpr auto sum_up = sum_up_##F;                                                                                               \
    static constexpr auto add = add_##F;                                                                                                     \
    static constexpr auto inner = inner_##F;                                                                                                 \
    static constexpr auto to_block = to_block_##F;                                                                                           \
    static constexpr auto from_block = from_block_##F;                                                                                       \
  };

NASLAB_FOR_EACH_FORM(NASLAB_MIXTURE_FOR)

} // namespace
