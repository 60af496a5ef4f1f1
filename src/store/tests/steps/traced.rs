//! A child process of which every system call that changes files is counted, and at one of which something happens.
//!
//! In: a command, the folder whose files count, and a fault. Out: how many steps it made, and how it ended. The kernel stops the
//! child at each system call (`ptrace`), so the steps of libraries count, too, and nothing of what is tested knows of this.
//! The child must wait for the end of its standard input before it begins.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc::{self, c_long, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL, before the step is made.
    Killed,
    /// From this step on nothing that takes room on the disk is done.
    Full,
}

#[derive(Debug)]
pub(super) struct Traced {
    pub steps: u64,
    /// How many of them were answered as if the disk were full.
    pub refused: u64,
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
}

/// Runs the command with a fault at this step, counted from 1.
#[expect(clippy::zombie_processes, reason = "the tracer waits for it, among its threads")]
pub(super) fn run(mut command: Command, folder: &Path, fault: Option<(Fault, u64)>) -> Traced {
    // A process group of its own, so that no other child of this process is waited for.
    let mut child = command.stdin(Stdio::piped()).process_group(0).spawn().expect("a child");
    let leader = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    seize(leader);
    drop(child.stdin.take());
    let mut tracer =
        Tracer { leader, folder, fault, steps: 0, refused: 0, under_way: HashMap::new(), memory: memory_of(leader) };
    let code = tracer.follow();
    Traced { steps: tracer.steps, refused: tracer.refused, code }
}

/// Attaches to all threads; the kernel attaches to those that they start later.
fn seize(leader: Pid) {
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    ptrace::seize(leader, options).expect("it can be traced");
    for thread in fs::read_dir(format!("/proc/{leader}/task")).expect("its threads") {
        let thread = thread.expect("a thread").file_name();
        let thread = Pid::from_raw(thread.to_string_lossy().parse().expect("a number"));
        // One that was started since belongs to us already.
        if thread == leader || ptrace::seize(thread, options).is_ok() {
            ptrace::interrupt(thread).expect("it stops");
        }
    }
}

fn memory_of(process: Pid) -> File {
    File::open(format!("/proc/{process}/mem")).expect("its memory")
}

struct Tracer<'f> {
    leader: Pid,
    folder: &'f Path,
    fault: Option<(Fault, u64)>,
    steps: u64,
    refused: u64,
    /// The threads between the two stops of a call, and whether it is not made, but answered as if the disk were full.
    under_way: HashMap<Pid, bool>,
    memory: File,
}

impl Tracer<'_> {
    /// Lets it run from stop to stop until it ends.
    fn follow(&mut self) -> Option<i32> {
        let group = Pid::from_raw(-self.leader.as_raw());
        loop {
            let status = waitpid(group, Some(WaitPidFlag::__WALL)).expect("it runs");
            let (thread, signal) = match status {
                WaitStatus::Exited(process, code) if process == self.leader => return Some(code),
                WaitStatus::Signaled(process, ..) if process == self.leader => return None,
                WaitStatus::PtraceSyscall(thread) => {
                    self.at_call(thread);
                    (thread, None)
                }
                WaitStatus::PtraceEvent(thread, ..) => (thread, None),
                WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
                _ => continue,
            };
            match ptrace::syscall(thread, signal) {
                // Killed meanwhile.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Each call stops twice: before it and after it.
    fn at_call(&mut self, thread: Pid) {
        let Ok(mut registers) = ptrace::getregs(thread) else { return };
        let answer = |code: i32| (-i64::from(code)) as u64;
        if let Some(is_refused) = self.under_way.remove(&thread) {
            if is_refused {
                registers.rax = answer(libc::ENOSPC);
                ptrace::setregs(thread, registers).expect("set");
            }
            return;
        }
        // What every call has before it is made.
        if registers.rax != answer(libc::ENOSYS) {
            return;
        }
        let Some(takes_room) = self.step(&registers) else {
            self.under_way.insert(thread, false);
            return;
        };
        self.steps += 1;
        let mut is_refused = false;
        match self.fault {
            Some((Fault::Killed, at)) if at == self.steps => kill(self.leader, Signal::SIGKILL).expect("killed"),
            Some((Fault::Full, at)) if at <= self.steps && takes_room => {
                registers.orig_rax = u64::MAX;
                ptrace::setregs(thread, registers).expect("set");
                self.refused += 1;
                is_refused = true;
            }
            _ => {}
        }
        self.under_way.insert(thread, is_refused);
    }

    /// Whether the call changes files of ours, and if so, whether it takes room.
    fn step(&self, registers: &user_regs_struct) -> Option<bool> {
        let is_ours = |descriptor: u64| {
            let link = fs::read_link(format!("/proc/{}/fd/{}", self.leader, descriptor as u32));
            link.is_ok_and(|path| path.starts_with(self.folder))
        };
        let user_regs_struct { rdi, rsi, rdx, .. } = *registers;
        match registers.orig_rax as c_long {
            libc::SYS_write
            | libc::SYS_pwrite64
            | libc::SYS_writev
            | libc::SYS_pwritev
            | libc::SYS_fallocate
            | libc::SYS_sendfile => is_ours(rdi).then_some(true),
            libc::SYS_copy_file_range => is_ours(rdx).then_some(true),
            libc::SYS_ftruncate
            | libc::SYS_fsync
            | libc::SYS_fdatasync
            | libc::SYS_sync_file_range
            | libc::SYS_fchmod => is_ours(rdi).then_some(false),
            libc::SYS_openat if rdx & libc::O_CREAT as u64 != 0 => self.path(rsi).map(|path| !path.exists()),
            libc::SYS_mkdir => self.path(rdi).map(|path| !path.exists()),
            libc::SYS_mkdirat => self.path(rsi).map(|path| !path.exists()),
            libc::SYS_rename | libc::SYS_unlink | libc::SYS_rmdir | libc::SYS_chmod => self.path(rdi).map(|_| false),
            // Relative to a directory, where one is removed with all that is in it.
            libc::SYS_renameat | libc::SYS_renameat2 | libc::SYS_unlinkat | libc::SYS_fchmodat => Some(false),
            _ => None,
        }
    }

    /// The path at this address, if it is one of ours.
    fn path(&self, address: u64) -> Option<PathBuf> {
        let mut bytes = [0; libc::PATH_MAX as usize];
        let read = self.memory.read_at(&mut bytes, address).ok()?;
        let end = bytes[..read].iter().position(|byte| *byte == 0)?;
        let path = PathBuf::from(String::from_utf8_lossy(&bytes[..end]).into_owned());
        path.starts_with(self.folder).then_some(path)
    }
}
