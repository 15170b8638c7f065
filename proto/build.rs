//! Compiles the `.proto` files without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "tidemark/v1/metrics.proto",
        "tidemark/v1/control.proto",
        "tidemark/v1/outcomes.proto",
        "tidemark/v1/alerts.proto",
    ];
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    prost_build::Config::new().compile_fds(protox::compile(files, ["."])?)?;
    Ok(())
}
