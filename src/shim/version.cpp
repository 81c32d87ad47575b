// What the libtorch says of itself that is loaded, which need not be the one whose headers are used here.

#include <dlfcn.h>

#include <cstddef>
#include <exception>
#include <string>

// ATen/Version.h declares it too, below half of libtorch's headers.
namespace at {
std::string show_config();
}

// Copies `text` and a closing zero into `out`, which has room for `room` characters; what does not fit is cut off.
static void copy(const std::string &text, char *out, std::size_t room) { out[text.copy(out, room - 1)] = 0; }

// Its version, and the file that it is in; each empty where it does not say.
extern "C" void naslab_loaded_torch(char *version, char *path, std::size_t room) {
  *version = *path = 0;
  try {
    const std::string settings = at::show_config(), key = "TORCH_VERSION=";
    if (auto place = settings.find(key); place != std::string::npos) {
      auto from = place + key.size();
      copy(settings.substr(from, settings.find_first_of(", \n", from) - from), version, room);
    }
    Dl_info found;
    if (dladdr(reinterpret_cast<void *>(&at::show_config), &found) != 0 && found.dli_fname != nullptr) copy(found.dli_fname, path, room);
  } catch (const std::exception &) {
  }
}
