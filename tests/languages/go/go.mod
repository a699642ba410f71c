module tests.example/files_go

go 1.27
