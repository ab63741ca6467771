//! The program `svitt`.

#[global_allocator]
static ALLOCATOR: svitt::cli::allocator::MiMalloc = svitt::cli::allocator::MiMalloc;

fn main() -> std::process::ExitCode {
    svitt::cli::main()
}
