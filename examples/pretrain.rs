//! Pretrains SViTT through a curriculum of stages: on the built-in `shapes` benchmark, or on your own videos. The same as
//! `svitt pretrain`.

#[global_allocator]
static ALLOCATOR: svitt::cli::allocator::MiMalloc = svitt::cli::allocator::MiMalloc;

fn main() -> std::process::ExitCode {
    svitt::cli::command("pretrain")
}
