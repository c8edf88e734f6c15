module github.com/cardoki/cardoki

go 1.26
