//! `poll job` as a process: a command's progress and exit, and a job followed.

use rustix::process::Signal;

use super::process::{Poll, poll};
use super::server::Server;

fn exit(server: &Server, job: &str, script: &str) -> (i32, String, String) {
    poll(server.address(), &["job", job, "--", "sh", "-c", script])
}

#[test]
fn a_command_s_progress_and_exit_are_the_job_s() {
    let server = Server::start();
    let script = "echo plain; printf '1/3 one\\r'; echo '2/3 two' >&2; echo 'three is 100%'; exit 7";
    let (code, output, errors) = exit(&server, "build 1", script);
    // As the command wrote it.
    assert_eq!((code, output.as_str(), errors.as_str()), (7, "plain\n1/3 one\rthree is 100%", "2/3 two"));

    let (code, steps, _) = poll(server.address(), &["job", "build 1"]);
    let steps: Vec<_> = steps.lines().collect();
    assert_eq!(code, 1);
    assert_eq!(steps[0], "0/1 0% running sh");
    // How many of those between were reported depends on how fast the command was.
    assert!(steps.last().unwrap().ends_with("ended with status 7 failed"), "{steps:?}");

    let (code, _, _) = exit(&server, "build 2", "echo 1/2 half");
    assert_eq!(code, 0);
    let (code, steps, _) = poll(server.address(), &["job", "build 2", "--json"]);
    assert_eq!(code, 0);
    let last = steps.lines().last().unwrap();
    for part in [r#""step":2"#, r#""total":2"#, r#""status":"done""#, r#""message":"1/2 half""#] {
        assert!(last.contains(part), "{last}");
    }
}

#[test]
fn steps_are_reported_while_the_command_runs() {
    let server = Server::start();
    let follow = Poll::start(server.address(), &["job", "slow"]);
    let mut job = Poll::start(server.address(), &["job", "slow", "--", "cat"]);
    assert_eq!(follow.line(), "0/1 0% running cat");
    for (line, shown) in [("1/4 one", "1/4 25% 1/4 one"), ("x 3/4", "3/4 75% x 3/4")] {
        job.write(&format!("{line}\n"));
        assert_eq!(job.line(), line);
        assert_eq!(follow.line(), shown);
    }
    job.end_input();
    assert!(job.end().0.success());
    assert_eq!(follow.line(), "4/4 100% x 3/4 done");
    assert!(follow.end().0.success());
}

#[test]
fn a_job_that_has_ended_is_not_run_again_and_other_ends_are_passed_on() {
    let mut server = Server::start();
    assert_eq!(exit(&server, "j", "exit 0").0, 0);
    let (code, output, errors) = exit(&server, "j", "echo ran");
    assert_eq!((code, output.as_str()), (1, ""));
    assert_eq!(errors, "poll: the job j has ended; give this one another name");

    let (code, _, errors) = poll(server.address(), &["job", "k", "--", "/does/not/exist"]);
    assert_eq!(code, 127);
    assert!(errors.starts_with("poll: cannot run /does/not/exist: "), "{errors}");
    assert_eq!(poll(server.address(), &["job", "k"]).0, 1);

    // A signal for the command alone, and one that is handed on to it.
    assert_eq!(exit(&server, "l", "kill -KILL $$").0, 128 + 9);
    let job = Poll::start(server.address(), &["job", "m", "--", "sh", "-c", "echo ready; exec sleep 1000"]);
    assert_eq!(job.line(), "ready");
    job.signal(Signal::TERM);
    assert_eq!(job.end().0.code(), Some(128 + 15));
    let (code, steps, _) = poll(server.address(), &["job", "m"]);
    assert_eq!(code, 1);
    assert!(steps.ends_with("ended by signal 15 failed"), "{steps}");

    // Without a server the command runs all the same, and its end is reported once there is one.
    server.kill();
    let mut job = Poll::start(server.address(), &["job", "n", "--", "cat"]);
    assert!(job.error().ends_with("; trying again"));
    job.write("through\n");
    assert_eq!(job.line(), "through");
    server.start_again();
    let (status, _, errors) = job.end();
    assert!(status.success());
    assert_eq!(errors, ["poll: connected again"]);
    let (code, steps, _) = poll(server.address(), &["job", "n"]);
    assert_eq!(code, 0);
    assert!(steps.ends_with("done"), "{steps}");
}
