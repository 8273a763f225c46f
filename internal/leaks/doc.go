// Package leaks holds no code but tests: that nobody learns through the API of what
// they may not see, and that everybody sees all that they may.
//
// They build random organisations, ask every route as every employee and API key, and
// compare what comes back with a model of the rules that is written only for them: a
// few lines over plain maps, which share nothing with packages domain and access. Who
// follows streams is told of what changes as the model has it. A
// route that the tests do not know fails them.
//
// ANNALS_LEAKS is how many organisations the test of reading builds; the test of
// commands takes a fortieth of it. A failure names the seed and the organisation:
// ANNALS_LEAKS_SEED=seed repeats all of it, ANNALS_LEAKS_SEED=seed/organisation the one.
package leaks
