// What Go makes of a granted folder: every step that a program is likely to take, each with how it ended.

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	name        = "files_go"
	description = "Uses a folder as programs in Go do, and says how each step ended."
	root        = "/notes/go"
)

var longAgo = time.Unix(1_600_000_000, 0)

var codes = map[syscall.Errno]string{
	syscall.EACCES: "EACCES", syscall.EBADF: "EBADF", syscall.EDQUOT: "EDQUOT", syscall.EEXIST: "EEXIST",
	syscall.EIO: "EIO", syscall.EISDIR: "EISDIR", syscall.ENOENT: "ENOENT", syscall.ENOSPC: "ENOSPC",
	syscall.ENOSYS: "ENOSYS", syscall.ENOTDIR: "ENOTDIR", syscall.ENOTEMPTY: "ENOTEMPTY", syscall.EPERM: "EPERM",
}

func how(err error) string {
	var code syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &code) && codes[code] != "":
		return codes[code]
	default:
		return err.Error()
	}
}

func put(path, words string, flags int) error {
	file, err := os.OpenFile(path, os.O_WRONLY|flags, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(words)
	return errors.Join(err, file.Close())
}

func sought(path string) (int64, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("SECOND"), 6); err != nil {
		return 0, err
	}
	if err := file.Sync(); err != nil {
		return 0, err
	}
	return file.Seek(0, io.SeekEnd)
}

func temporary() (string, error) {
	file, err := os.CreateTemp(root, "x*")
	if err != nil {
		return "", err
	}
	defer os.Remove(file.Name())
	if _, err := file.WriteString("x"); err != nil {
		return "", err
	}
	read, err := os.ReadFile(file.Name())
	return string(read), errors.Join(err, file.Close())
}

func names(entries []fs.DirEntry, err error) (string, error) {
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return strings.Join(all, " "), err
}

func walked() (string, error) {
	var all []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, strings.TrimPrefix(path, "/notes/"))
		return err
	})
	return strings.Join(all, " "), err
}

func run() string {
	var report strings.Builder
	did := func(step string, err error) { fmt.Fprintf(&report, "%s: %s\n", step, how(err)) }
	got := func(step string, value any, err error) {
		if err != nil {
			did(step, err)
		} else {
			fmt.Fprintf(&report, "%s: %v\n", step, value)
		}
	}
	read := func(step, path string) {
		words, err := os.ReadFile(path)
		got(step, fmt.Sprintf("%q", words), err)
	}
	one, two, link := root+"/one", root+"/two", root+"/link"

	did("Mkdir", os.Mkdir(root, 0o755))
	did("Mkdir again", os.Mkdir(root, 0o755))
	did("MkdirAll", os.MkdirAll(root+"/a/b/c", 0o755))
	did("WriteFile", os.WriteFile(one, []byte("first\n"), 0o644))
	did("append", put(one, "second\n", os.O_APPEND))
	did("exclusive", put(one, "", os.O_CREATE|os.O_EXCL))
	read("ReadFile", one)
	size, err := sought(one)
	got("Seek", size, err)
	did("Truncate", os.Truncate(one, 12))
	read("ReadFile", one)
	about, err := os.Stat(one)
	got("Stat", fmt.Sprint(about.Size(), about.Mode().IsRegular(), about.ModTime().After(longAgo)), err)
	did("Chtimes", os.Chtimes(one, longAgo, longAgo))
	about, err = os.Stat(one)
	got("ModTime", about.ModTime().Unix(), err)
	did("Rename", os.Rename(one, two))
	did("WriteFile", os.WriteFile(one, []byte("3"), 0o644))
	did("Rename over", os.Rename(one, two))
	read("ReadFile", two)
	_, err = os.Stat(one)
	got("gone", errors.Is(err, fs.ErrNotExist), nil)
	all, err := names(os.ReadDir(root))
	got("ReadDir", all, err)
	all, err = walked()
	got("WalkDir", all, err)
	found, err := filepath.Glob(root + "/*")
	got("Glob", len(found), err)
	did("Symlink", os.Symlink("two", link))
	target, err := os.Readlink(link)
	got("Readlink", target, err)
	read("through it", link)
	target, err = filepath.EvalSymlinks(link)
	got("EvalSymlinks", target, err)
	did("Symlink out", os.Symlink("/etc/passwd", root+"/out"))
	did("Symlink up", os.Symlink("../../..", root+"/up"))
	_, err = os.ReadDir(root + "/up")
	did("through up", err)
	did("Link", os.Link(two, root+"/hard"))
	did("CopyFS", os.CopyFS(root+"/z", os.DirFS(root+"/a")))
	all, err = temporary()
	got("CreateTemp", all, err)
	folder, err := os.MkdirTemp(root, "x*")
	got("MkdirTemp", strings.HasPrefix(folder, root), errors.Join(err, os.Remove(folder)))
	inside, err := os.OpenRoot(root)
	did("OpenRoot", err)
	if err == nil {
		words, err := inside.ReadFile("two")
		got("Root.ReadFile", string(words), err)
		_, err = inside.ReadFile("../out")
		got("Root out", err != nil, nil)
	}
	did("Chdir", os.Chdir(root))
	read("relative", "two")
	did("up and out", put("/notes/../out", "x", os.O_CREATE))
	read("absolute", "/etc/passwd")
	did("Chmod", os.Chmod(two, 0o600))
	did("grow", os.Truncate(two, 1<<21))
	did("fill", os.WriteFile(root+"/large", make([]byte, 1<<21), 0o644))
	// More than one arena of the heap.
	large := slices.Repeat([]byte("0123456789abcdef"), 1<<20)
	got("take 16 MiB", large[len(large)-1] == 'f', nil)
	read("ReadFile", two)
	did("Remove full", os.Remove(root))
	did("RemoveAll", os.RemoveAll(root))
	left, err := os.ReadDir("/notes")
	got("left", len(left), err)
	return strings.TrimSuffix(report.String(), "\n")
}
