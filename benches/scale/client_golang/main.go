// An exporter as the Go client library's users write it: the samples of a page as gauge vectors.
//
//	client_golang PAGE PORT
package main

import (
	"bufio"
	"log"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

var (
	sample = regexp.MustCompile(`^(\w+)(?:\{(.*)\})? (\S+)$`)
	label  = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

func main() {
	page, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	vectors := map[string]*prometheus.GaugeVec{}
	help := map[string]string{}
	lines := bufio.NewScanner(page)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "# HELP ") {
			name, text, _ := strings.Cut(strings.TrimPrefix(line, "# HELP "), " ")
			help[name] = text
			continue
		}
		parts := sample.FindStringSubmatch(line)
		if parts == nil {
			continue
		}
		value, err := strconv.ParseFloat(parts[3], 64)
		if err != nil {
			log.Fatal(err)
		}
		var names []string
		values := prometheus.Labels{}
		for _, pair := range label.FindAllStringSubmatch(parts[2], -1) {
			names = append(names, pair[1])
			values[pair[1]] = pair[2]
		}
		vector, known := vectors[parts[1]]
		if !known {
			options := prometheus.GaugeOpts{Name: parts[1], Help: help[parts[1]]}
			vector = prometheus.NewGaugeVec(options, names)
			registry.MustRegister(vector)
			vectors[parts[1]] = vector
		}
		vector.With(values).Set(value)
	}
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[2], nil))
}
