// A map of the image, its classes as annotations, and tiles made from it. In QuPath's script editor (Run for project works too), or without a
// display: QuPath script --image=SLIDE --save histoloom.groovy --args=FOLDER
// Annotations of the class "Histoloom" limit the map to their area.
import io.github.histoloom.qupath.HistoloomScripts
import qupath.lib.scripting.QP

List<?> given = binding.hasVariable('args') ? binding.getVariable('args') as List : []

Map<String, Object> map = new LinkedHashMap<String, Object>(k: 8, seed: 1)
def chosen = QP.getAnnotationObjects().findAll { it.getPathClass()?.toString() == 'Histoloom' }
if (chosen) {
    map.put('roi', HistoloomScripts.roi(chosen))
}
println HistoloomScripts.run('cluster', map)
HistoloomScripts.annotate()

if (given) {
    println HistoloomScripts.run('synth', [n: 16, seed: 1, out_dir: given[0].toString()])
}
