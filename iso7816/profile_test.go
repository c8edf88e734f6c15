package iso7816

import (
	"context"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

func TestProfiles(t *testing.T) {
	for _, tt := range []struct {
		name    string
		profile *Profile
		cmd     apdu.Command
		pairs   []string
		want    string
		fail    bool
	}{
		{"SIM: 9FXX is fetched in class A0", ProfileSIM(), apdu.Command{Class: 0xA0, Instruction: 0xA4, Data: []byte{0x3F, 0}}, []string{"A0A40000023F00", "9F02", "A0C0000002", "01029000"}, "0102", false},
		{"SIM: 91XX is success", ProfileSIM(), apdu.Command{Class: 0xA0, Instruction: 0x10}, []string{"A0100000", "9110"}, "", false},
		{"SIM: 9804 is not", ProfileSIM(), apdu.Command{Class: 0xA0, Instruction: 0x20}, []string{"A0200000", "9804"}, "", true},
		{"OATH: instruction A5 fetches the rest", ProfileOATH(), apdu.Command{Instruction: 0xA1, Ne: 256}, []string{"00A1000000", "016101", "00A5000001", "029000"}, "0102", false},
		{"GlobalPlatform: 6310 is success with its data", ProfileGlobalPlatform(), apdu.Command{Class: 0x80, Instruction: 0xF2, Ne: 256}, []string{"80F2000000", "01026310"}, "0102", false},
		{"DESFire: 91AF is continued with AF", ProfileDESFire(), apdu.Command{Class: 0x90, Instruction: 0x60, Ne: 256}, []string{"9060000000", "0191AF", "90AF000000", "0291AF", "90AF000000", "039100"}, "010203", false},
		{"DESFire: 9000 is not success", ProfileDESFire(), apdu.Command{Class: 0x90, Instruction: 0x60, Ne: 256}, []string{"9060000000", "9000"}, "", true},
		{"none: 9FXX is the answer", nil, apdu.Command{Class: 0xA0, Instruction: 0xA4}, []string{"A0A40000", "9F02"}, "", true},
		{"none: 63C2 to VERIFY is a failure", nil, apdu.Command{Instruction: 0x20, Data: []byte{1}}, []string{"0020000001" + "01", "63C2"}, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{t: t, pairs: tt.pairs}
			data, err := NewChannel(s, &Options{Profile: tt.profile}).Send(context.Background(), tt.cmd)
			s.done()
			if (err != nil) != tt.fail || hexOf(data) != tt.want {
				t.Errorf("got %X, %v; want %s", data, err, tt.want)
			}
		})
	}
}
