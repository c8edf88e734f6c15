package main

import (
	"bytes"
	"fmt"
	"math"
)

// Measures of the picture, in pixels. The axis is logarithmic.
const (
	left, right  = 340, 40
	top, bottom  = 40, 50
	rowHeight    = 26
	decadeWidth  = 170
	least, most  = -1.0, 2.0 // powers of ten that the axis goes from and to
	pictureWidth = left + right + decadeWidth*3
)

// plot is docs/figures.svg: a line for each row, with a dot for each contestant at its cost
// as a multiple of cardoki's.
func plot(rows []row) []byte {
	var b bytes.Buffer
	height := top + bottom + rowHeight*len(rows)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">
<title>What others need, as a multiple of what cardoki needs</title>
<rect width="100%%" height="100%%" fill="#fff"/>
`, pictureWidth, height)
	for p := least; p <= most; p++ {
		x := at(math.Pow(10, p))
		colour := "#ddd"
		if p == 0 {
			colour = "#06c"
		}
		fmt.Fprintf(&b, "<line x1=\"%.0f\" y1=\"%d\" x2=\"%.0f\" y2=\"%d\" stroke=\"%s\"/>\n", x, top-8, x, height-bottom+8, colour)
		fmt.Fprintf(&b, "<text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\" fill=\"#555\">%g×</text>\n", x, height-bottom+24, math.Pow(10, p))
	}
	fmt.Fprintf(&b, "<text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\" fill=\"#06c\">cardoki</text>\n", at(1), top-16)
	fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"#555\">○ the floor, ● other libraries: time, as a multiple of cardoki's</text>\n", pictureWidth/2, height-6)
	for i, r := range rows {
		y := top + rowHeight*i + rowHeight/2
		ours := r.costs[r.ours].median()
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\" fill=\"#222\">%s</text>\n", left-24, y+4, r.work)
		fmt.Fprintf(&b, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#f0f0f0\"/>\n", left, y, pictureWidth-right, y)
		floor := r.costs[r.floor].median() / ours
		fmt.Fprintf(&b, "<circle cx=\"%.1f\" cy=\"%d\" r=\"4\" fill=\"#fff\" stroke=\"#555\"><title>floor: %s</title></circle>\n", at(floor), y, times(floor))
		for _, name := range r.peers {
			ratio := r.costs[name].median() / ours
			fmt.Fprintf(&b, "<circle cx=\"%.1f\" cy=\"%d\" r=\"4\" fill=\"#c40\" fill-opacity=\"0.75\"><title>%s: %s</title></circle>\n", at(ratio), y, title(name), times(ratio))
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// at is where a ratio is on the axis.
func at(ratio float64) float64 {
	return left + decadeWidth*(min(max(math.Log10(ratio), least), most)-least)
}
