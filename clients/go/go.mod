module crypto-edge.example/go

go 1.21
