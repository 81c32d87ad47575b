// Maps joined along their channels. The gradient is one operator of libtorch, where that of its own `cat` is one for every map.

#include "tensors.h"

#include <torch/csrc/autograd/custom_function.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class Join : public torch::autograd::Function<Join> {
public:
  static at::Tensor forward(AutogradContext *ctx, const at::TensorList &maps) {
    at::AutoDispatchBelowADInplaceOrView below;
    std::vector<std::int64_t> channels;
    for (const auto &map : maps) {
      channels.push_back(map.size(1));
    }
    ctx->saved_data["channels"] = channels;
    return at::cat(maps, 1);
  }

  static variable_list backward(AutogradContext *ctx, variable_list gradients) {
    return at::split_with_sizes(gradients[0], ctx->saved_data["channels"].toIntVector(), 1);
  }
};

} // namespace

extern "C" at::Tensor *naslab_join(const at::Tensor *const *maps, std::int64_t count) {
  return naslab::guarded([&] {
    std::vector<at::Tensor> list;
    for (std::int64_t i = 0; i < count; ++i) {
      list.push_back(*maps[i]);
    }
    return Join::apply(at::TensorList(list));
  });
}
