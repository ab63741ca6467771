//! Searches a folder of your own videos by a sentence or by another video. The same as `svitt search`.

#[global_allocator]
static ALLOCATOR: svitt::cli::allocator::MiMalloc = svitt::cli::allocator::MiMalloc;

fn main() -> std::process::ExitCode {
    svitt::cli::command("search")
}
