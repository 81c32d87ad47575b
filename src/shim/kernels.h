// Loops over image planes in which one vector register holds the same pixel of several images. So the loops are equally fast for every size,
// stride and dilation, and the small maps of cell networks fill the registers too.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
// Compiled twice, chosen when the program starts by what the processor can do.
#define NASLAB_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define NASLAB_CLONES
#endif
#define NASLAB_INLINE inline __attribute__((always_inline))

namespace naslab {

template <class T> struct Vector {
  static constexpr std::int64_t lanes = 32 / sizeof(T);
  typedef T type __attribute__((vector_size(32)));
};

// A window that slides over planes. Rows first, then columns.
struct Window {
  std::int64_t images, channels, height, width;
  std::int64_t kernel, stride, padding, dilation;
  std::int64_t out_height, out_width;

  std::int64_t padded_height() const { return height + 2 * padding; }
  std::int64_t padded_width() const { return width + 2 * padding; }
  std::int64_t plane() const { return height * width; }
  std::int64_t out_plane() const { return out_height * out_width; }
};

// Planes of up to `lanes` images, [rows][columns][lane], with a border.
template <class T> class Planes {
  using V = typename Vector<T>::type;
  static constexpr std::int64_t L = Vector<T>::lanes;

public:
  V *data() { return reinterpret_cast<V *>(memory_.data() + offset_); }

  // Room for so many vectors; what is in them is left over from before.
  NASLAB_INLINE V *resize(std::int64_t vectors) {
    const auto size = static_cast<std::size_t>((vectors + 1) * L);
    if (memory_.size() < size) {
      memory_.resize(size);
      const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
      offset_ = static_cast<std::size_t>(((32 - address % 32) % 32) / sizeof(T));
    }
    return data();
  }

  NASLAB_INLINE V *filled(std::int64_t vectors, T value) {
    V *out = resize(vectors);
    T *flat = reinterpret_cast<T *>(out);
    std::fill(flat, flat + vectors * L, value);
    return out;
  }

  // Reads `count` images' planes that lie `step` apart into the middle of a border.
  NASLAB_INLINE V *load(const T *from, std::int64_t step, std::int64_t count, std::int64_t rows, std::int64_t columns, std::int64_t border,
                        T outside) {
    const std::int64_t width = columns + 2 * border;
    // Where there is a border or a lane without an image, not everything is written below.
    V *out = border > 0 || count < L ? filled((rows + 2 * border) * width, outside) : resize(rows * width);
    T *flat = reinterpret_cast<T *>(out);
    for (std::int64_t lane = 0; lane < count; ++lane) {
      const T *image = from + lane * step;
      for (std::int64_t i = 0; i < rows; ++i) {
        T *row = flat + ((i + border) * width + border) * L + lane;
        for (std::int64_t j = 0; j < columns; ++j) {
          row[j * L] = image[i * columns + j];
        }
      }
    }
    return out;
  }

  // Writes the middle back.
  NASLAB_INLINE void store(T *to, std::int64_t step, std::int64_t count, std::int64_t rows, std::int64_t columns, std::int64_t border) {
    const std::int64_t width = columns + 2 * border;
    const T *flat = reinterpret_cast<const T *>(data());
    for (std::int64_t lane = 0; lane < count; ++lane) {
      T *image = to + lane * step;
      for (std::int64_t i = 0; i < rows; ++i) {
        const T *row = flat + ((i + border) * width + border) * L + lane;
        for (std::int64_t j = 0; j < columns; ++j) {
          image[i * columns + j] = row[j * L];
        }
      }
    }
  }

private:
  std::vector<T> memory_;
  std::size_t offset_ = 0;
};

// out[i][j] = sum over taps of w * in[i * stride + ki * dilation][j * stride + kj * dilation]; `in` is `width` wide.
template <class T>
NASLAB_INLINE void correlate(const typename Vector<T>::type *in, std::int64_t width, const T *w, std::int64_t kernel, std::int64_t stride,
                             std::int64_t dilation, typename Vector<T>::type *out, std::int64_t rows, std::int64_t columns) {
  using V = typename Vector<T>::type;
  for (std::int64_t i = 0; i < rows; ++i) {
    const V *row = in + i * stride * width;
    std::int64_t j = 0;
    for (; j + 4 <= columns; j += 4) {
      V a{}, b{}, c{}, d{};
      for (std::int64_t ki = 0; ki < kernel; ++ki) {
        const V *tap = row + ki * dilation * width + j * stride;
        for (std::int64_t kj = 0; kj < kernel; ++kj, tap += dilation) {
          const T weight = w[ki * kernel + kj];
          a += weight * tap[0];
          b += weight * tap[stride];
          c += weight * tap[2 * stride];
          d += weight * tap[3 * stride];
        }
      }
      V *to = out + i * columns + j;
      to[0] = a;
      to[1] = b;
      to[2] = c;
      to[3] = d;
    }
    for (; j < columns; ++j) {
      V a{};
      for (std::int64_t ki = 0; ki < kernel; ++ki) {
        const V *tap = row + ki * dilation * width + j * stride;
        for (std::int64_t kj = 0; kj < kernel; ++kj, tap += dilation) {
          a += w[ki * kernel + kj] * *tap;
        }
      }
      out[i * columns + j] = a;
    }
  }
}

// taps[k] += sum over outputs of g[i][j] * in[i * stride + ki * dilation][j * stride + kj * dilation]
template <class T>
NASLAB_INLINE void gather_taps(const typename Vector<T>::type *in, std::int64_t width, const typename Vector<T>::type *g,
                               std::int64_t kernel, std::int64_t stride, std::int64_t dilation, typename Vector<T>::type *taps,
                               std::int64_t rows, std::int64_t columns) {
  using V = typename Vector<T>::type;
  for (std::int64_t ki = 0; ki < kernel; ++ki) {
    for (std::int64_t kj = 0; kj < kernel; ++kj) {
      V a{}, b{};
      for (std::int64_t i = 0; i < rows; ++i) {
        const V *row = in + (i * stride + ki * dilation) * width + kj * dilation;
        const V *from = g + i * columns;
        std::int64_t j = 0;
        for (; j + 2 <= columns; j += 2) {
          a += from[j] * row[j * stride];
          b += from[j + 1] * row[(j + 1) * stride];
        }
        if (j < columns) {
          a += from[j] * row[j * stride];
        }
      }
      taps[ki * kernel + kj] += a + b;
    }
  }
}

// in[i * stride + ki * dilation][j * stride + kj * dilation] += w * g[i][j]
template <class T>
NASLAB_INLINE void scatter(typename Vector<T>::type *in, std::int64_t width, const T *w, const typename Vector<T>::type *g,
                           std::int64_t kernel, std::int64_t stride, std::int64_t dilation, std::int64_t rows, std::int64_t columns) {
  using V = typename Vector<T>::type;
  for (std::int64_t ki = 0; ki < kernel; ++ki) {
    for (std::int64_t kj = 0; kj < kernel; ++kj) {
      const T weight = w[ki * kernel + kj];
      for (std::int64_t i = 0; i < rows; ++i) {
        V *row = in + (i * stride + ki * dilation) * width + kj * dilation;
        for (std::int64_t j = 0; j < columns; ++j) {
          row[j * stride] += weight * g[i * columns + j];
        }
      }
    }
  }
}

// The gradient of a window's input from that of its output, `grad` [rows][columns]; the map is in the middle of a border of `margin` pixels.
template <class T>
NASLAB_INLINE typename Vector<T>::type *input_gradient(Planes<T> &bordered, Planes<T> &result, const Window &s, const T *w, const T *flipped,
                                                       const typename Vector<T>::type *grad, std::int64_t &margin) {
  const std::int64_t border = s.dilation * (s.kernel - 1) - s.padding;
  if (s.stride != 1 || border < 0) {
    margin = s.padding;
    auto *out = result.filled(s.padded_height() * s.padded_width(), T(0));
    scatter<T>(out, s.padded_width(), w, grad, s.kernel, s.stride, s.dilation, s.out_height, s.out_width);
    return out;
  }
  // With stride 1 it is a correlation with the flipped kernel over a bordered gradient.
  margin = 0;
  const std::int64_t width = s.out_width + 2 * border;
  auto *wide = bordered.filled((s.out_height + 2 * border) * width, T(0));
  for (std::int64_t i = 0; i < s.out_height; ++i) {
    std::copy(grad + i * s.out_width, grad + (i + 1) * s.out_width, wide + (i + border) * width + border);
  }
  auto *out = result.resize(s.plane());
  correlate<T>(wide, width, flipped, s.kernel, 1, s.dilation, out, s.height, s.width);
  return out;
}

// `sum` and the first `count` lanes, added one after the other.
template <class Sum, class V> NASLAB_INLINE Sum plus_lanes(Sum sum, const V &v, std::int64_t count) {
  for (std::int64_t lane = 0; lane < count; ++lane) {
    sum += v[lane];
  }
  return sum;
}

} // namespace naslab
