// The few things of libtorch that tch does not reach. Every function reports failure by its return value; no exception leaves it.

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/headeronly/version.h>

#include <cstdint>
#include <exception>

extern "C" {

const char *naslab_torch_version() { return TORCH_VERSION; }

// Peak bytes since the last reset: out[0] handed out, out[1] held. False where the device has no such statistics.
bool naslab_device_peaks(std::int8_t device_index, std::int64_t *out) {
  try {
    auto stats = c10::getDeviceAllocator(c10::DeviceType::CUDA)->getDeviceStats(device_index);
    constexpr auto all = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    out[0] = stats.allocated_bytes[all].peak;
    out[1] = stats.reserved_bytes[all].peak;
    return true;
  } catch (const std::exception &) {
    return false;
  }
}

// Has cards multiply single precision as it is, not rounded to TF32. False if libtorch does not obey.
bool naslab_forbid_tf32() {
  try {
    auto &context = at::globalContext();
    context.setAllowTF32CuBLAS(false);
    context.setAllowTF32CuDNN(false);
    return !context.allowTF32CuBLAS() && !context.allowTF32CuDNN();
  } catch (const std::exception &) {
    return false;
  }
}

bool naslab_reset_device_peaks(std::int8_t device_index) {
  try {
    c10::getDeviceAllocator(c10::DeviceType::CUDA)->resetPeakStats(device_index);
    return true;
  } catch (const std::exception &) {
    return false;
  }
}
}
