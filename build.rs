//! Checks libtorch, compiles the C++ shim, lets the binary find libtorch without environment variables, and notes the commit.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that tch 0.24 needs.
const LIBTORCH: &str = "2.11.0";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    // Without searches nothing needs libtorch.
    if std::env::var_os("CARGO_FEATURE_SEARCH").is_some() {
        let libtorch = libtorch();
        compile_shim(&libtorch);
    }
    note_commit();
}

fn libtorch() -> PathBuf {
    let folder = std::env::var_os("LIBTORCH").map(PathBuf::from).unwrap_or_else(|| fail("LIBTORCH is not set; run `make setup`"));
    if !folder.join("lib").is_dir() {
        fail(&format!("there is no libtorch in {} (LIBTORCH); run `make setup`, or set LIBTORCH to your own", folder.display()));
    }
    match version(&folder) {
        Some(found) if found != LIBTORCH => fail(&format!(
            "LIBTORCH is version {found}, naslab needs {LIBTORCH}: {}; unset LIBTORCH and run `make setup`",
            folder.display()
        )),
        _ => folder,
    }
}

/// From the header that belongs to the libraries.
fn version(folder: &Path) -> Option<String> {
    let header = ["torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"];
    let text = header.iter().find_map(|h| std::fs::read_to_string(folder.join("include").join(h)).ok())?;
    let number =
        |name: &str| text.lines().find_map(|l| l.strip_prefix(&format!("#define TORCH_VERSION_{name} ")).map(|v| v.trim().to_string()));
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}

/// The commit is noted with every commit, so this script runs often; the C++, which takes a minute, is compiled only when something that it is made
/// of has changed.
fn compile_shim(libtorch: &Path) {
    println!("cargo:rerun-if-changed=src/shim");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let made_of = shim_ingredients(libtorch);
    let stamp = out.join("shim.stamp");
    if std::fs::read_to_string(&stamp).ok().as_deref() != Some(&made_of) {
        let _ = std::fs::remove_file(&stamp);
        build_shim(libtorch);
        std::fs::write(&stamp, made_of).unwrap_or_else(|e| fail(&format!("cannot write {}: {e}", stamp.display())));
    }
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=naslab_shim");
    println!("cargo:rustc-link-lib=stdc++");
    let lib = libtorch.join("lib");
    println!("cargo:rustc-link-arg={}", openmp(&lib));
    println!("cargo:rustc-link-search=native={}", lib.display());
    println!("cargo:rustc-link-lib=c10");
    // Where `make install` puts libtorch, then where it was built with.
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/naslab/torch/lib");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}

fn is_clang() -> bool {
    cc::Build::new().cpp(true).get_compiler().is_like_clang()
}

/// The linker's argument for the OpenMP library: libtorch's own, so that there is one pool of threads, else the compiler's.
fn openmp(lib: &Path) -> String {
    let files = std::fs::read_dir(lib).into_iter().flatten().flatten();
    let own = files.map(|f| f.file_name().to_string_lossy().into_owned()).find(|name| name.starts_with("libgomp") && name.contains(".so"));
    own.map_or_else(|| "-lgomp".into(), |name| format!("-l:{name}"))
}

/// Everything that the compiled shim depends on, as text: sources, libtorch, compiler.
fn shim_ingredients(libtorch: &Path) -> String {
    let mut files: Vec<PathBuf> = std::fs::read_dir("src/shim").map(|d| d.flatten().map(|e| e.path()).collect()).unwrap_or_default();
    files.retain(|f| f.extension().is_some_and(|e| e == "cpp" || e == "h"));
    files.sort();
    let mut text = format!("{}\n{}\n", libtorch.display(), std::fs::read_to_string("build.rs").unwrap_or_default());
    for name in ["CXX", "CXXFLAGS", "HOST", "TARGET"] {
        println!("cargo:rerun-if-env-changed={name}");
        text += &format!("{name}={}\n", std::env::var(name).unwrap_or_default());
    }
    for file in files {
        text += &format!("{}\n{}\n", file.display(), std::fs::read_to_string(&file).unwrap_or_default());
    }
    text
}

fn build_shim(libtorch: &Path) {
    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .cargo_metadata(false)
        // The kernels are arithmetic, whatever the profile.
        .opt_level(3)
        // libtorch's headers share work among threads only then. Clang's OpenMP is another library than the libgomp that libtorch brings, so
        // what it builds works on one thread.
        .flags((!is_clang()).then_some("-fopenmp"))
        .flag("-isystem")
        .flag(libtorch.join("include/torch/csrc/api/include").as_os_str())
        .flag("-isystem")
        .flag(libtorch.join("include").as_os_str())
        .file("src/shim/shim.cpp")
        .file("src/shim/depthwise.cpp")
        .file("src/shim/join.cpp")
        .file("src/shim/mixture.cpp")
        .file("src/shim/pool_norm.cpp")
        .file("src/shim/trace.cpp")
        .file("src/shim/counter.cpp")
        .file("src/shim/version.cpp")
        .compile("naslab_shim");
}

/// The commit and whether tracked files differ from it. Only this package's own repository counts, not one that it was unpacked into.
fn note_commit() {
    let own = git(&["rev-parse", "--show-toplevel"]).is_some_and(|top| same_folder(&top, env!("CARGO_MANIFEST_DIR")));
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| own).unwrap_or_else(|| "unknown".into());
    let dirty = own && git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty());
    println!("cargo:rustc-env=NASLAB_COMMIT={commit}");
    println!("cargo:rustc-env=NASLAB_DIRTY={dirty}");
    // The log of HEAD grows with every commit and checkout; the rest is what a program is made of.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    for path in ["src", "reproductions", "Cargo.toml", "Cargo.lock"].into_iter().chain(log.as_deref()) {
        if Path::new(path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
}

/// Output of a git command that writes nothing, not even a fresher index; `None` if it fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("--no-optional-locks").args(arguments).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn same_folder(a: &str, b: &str) -> bool {
    matches!((std::fs::canonicalize(a), std::fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

fn fail(message: &str) -> ! {
    println!("cargo:error={message}");
    std::process::exit(1)
}
