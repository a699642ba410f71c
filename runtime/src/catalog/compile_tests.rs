use super::*;

/// No test by itself: what a compiler from [`testing::compiler`] runs.
#[test]
fn child() {
    let arguments: Vec<_> = std::env::args_os().collect();
    let at = arguments.iter().position(|argument| argument == SUBCOMMAND);
    let Some([input, output, part]) = at.and_then(|at| arguments.get(at + 1..at + 4)) else {
        return;
    };
    if let Err(error) = compile_component(
        input.as_ref(),
        output.as_ref(),
        part.to_str().unwrap().parse().unwrap(),
    ) {
        eprintln!("{error}");
        std::process::exit(error.status().into());
    }
    // It panics, and the test that asked for code gets none.
    assert_eq!(Resource::CORE.get().unwrap(), (0, 0));
    assert!(Resource::AS.get().unwrap().1 <= COMPILE_MEMORY_BYTES_MAX);
    assert!(Resource::CPU.get().unwrap().1 <= COMPILE_CPU_SECS_MAX);
    assert!(Resource::FSIZE.get().unwrap().1 <= COMPILE_OUTPUT_BYTES_MAX);
    assert!(std::fs::read("/proc/self/status").is_err());
    assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_err());
}

#[test]
fn a_package_is_blamed_for_what_is_wrong_with_it_alone() {
    let io = || std::io::Error::from(std::io::ErrorKind::StorageFull);
    for (error, status) in [
        (ChildError::Invalid("at offset 7".to_owned()), 1),
        (ChildError::Files(io()), 3),
        (ChildError::Limits(io()), 4),
        (ChildError::NoFolder, 4),
        (ChildError::Engine(EngineError::Clock(io())), 4),
    ] {
        assert_eq!(error.status(), status, "{error}");
    }
    // As the child really ends where its folder takes no file.
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.native");
    std::fs::write(&output, "").unwrap();
    let program = std::env::current_exe().unwrap();
    let input = folder.path().join("in.wasm");
    std::fs::write(&input, wat::parse_str("(component)").unwrap()).unwrap();
    let ended = std::process::Command::new(program)
        .args(["--exact", "catalog::compile::tests::child", "--nocapture"])
        .arg(SUBCOMMAND)
        .args([&input, &output])
        .arg(Part::Guest.name())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(FILES_FAILED), "{ended:?}");
}

fn program(program: &str, arguments: &[&str], wall: Duration) -> Compiler {
    Compiler {
        program: program.into(),
        arguments: arguments.iter().map(Into::into).collect(),
        wall,
        mirrors: false,
    }
}

async fn run(compiler: &Compiler, text: &str) -> Result<Vec<u8>, CompileError> {
    let scratch = tempfile::tempdir().unwrap();
    let outcome = compiler
        .compile(&wat::parse_str(text).unwrap(), Part::Guest, scratch.path())
        .await;
    assert_eq!(
        std::fs::read_dir(scratch.path()).unwrap().count(),
        0,
        "something is left"
    );
    outcome
}

#[tokio::test]
async fn a_component_becomes_native_code() {
    let code = run(&testing::compiler(), "(component)").await.unwrap();
    assert!(code.starts_with(b"\x7fELF"));
}

#[tokio::test]
async fn what_is_invalid_is_refused_with_the_place() {
    let invalid = r#"(component (core module (func (result i32) i64.const 0)))"#;
    let Err(CompileError::Invalid(what)) = run(&testing::compiler(), invalid).await else {
        panic!("accepted");
    };
    assert!(
        what.contains("offset") || what.contains("type mismatch"),
        "{what}"
    );
}

#[tokio::test]
async fn a_compiler_that_hangs_or_floods_is_stopped() {
    let wall = Duration::from_millis(300);
    for flood in [
        program("/bin/sh", &["-c", "while :; do :; done"], wall),
        program("/bin/sh", &["-c", "yes >&2"], wall),
    ] {
        let error = run(&flood, "(component)").await.unwrap_err();
        assert!(
            matches!(
                error,
                CompileError::OutOfTime(_) | CompileError::Invalid(_) | CompileError::Crashed(13)
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn every_end_of_the_child_has_a_name() {
    let wall = Duration::from_secs(20);
    let end = async |script: &str| {
        run(&program("/bin/sh", &["-c", script], wall), "(component)")
            .await
            .unwrap_err()
    };
    assert!(matches!(
        end("kill -XCPU $$").await,
        CompileError::OutOfProcessor
    ));
    assert!(matches!(end("kill -XFSZ $$").await, CompileError::TooLarge));
    assert!(matches!(
        end("kill -KILL $$").await,
        CompileError::OutOfMemory
    ));
    assert!(matches!(
        end("echo memory allocation of 9 bytes failed >&2; kill -ABRT $$").await,
        CompileError::OutOfMemory
    ));
    assert!(matches!(
        end("kill -SEGV $$").await,
        CompileError::Crashed(11)
    ));
    assert!(
        matches!(end("echo why >&2; exit 1").await, CompileError::Invalid(what) if what == "why")
    );
    // A disk without space, and a machine without room: the package may pass another time.
    assert!(matches!(
        end("echo no space left >&2; exit 3").await,
        CompileError::Files(said) if said.to_string() == "no space left"
    ));
    assert!(matches!(
        end("echo no engine >&2; exit 4").await,
        CompileError::Unready(said) if said == "no engine"
    ));
    assert!(matches!(
        end("echo panicked in some place >&2; exit 101").await,
        CompileError::Unhandled
    ));
    assert!(matches!(end("exit 0").await, CompileError::Files(_)));
    assert!(matches!(
        run(&program("/nowhere", &[], wall), "(component)").await,
        Err(CompileError::Start { .. })
    ));
}

#[tokio::test]
async fn the_child_inherits_no_environment() {
    let script = r#"test -z "$HOME$CARGO_TARGET_DIR$PWD_FILE" && cp "$0" "$1""#;
    let compiler = program("/bin/sh", &["-c", script], Duration::from_secs(20));
    let code = run(&compiler, "(component)").await.unwrap();
    assert_eq!(code, wat::parse_str("(component)").unwrap());
}
