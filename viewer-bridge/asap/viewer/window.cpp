#include "window.h"

#include "openslide_source.h"

#include <QDockWidget>
#include <QFileDialog>
#include <QMenuBar>
#include <QMessageBox>

namespace histoloom {

Window::Window(const Setup &setup) : controller_(setup, this) {
    setWindowTitle(tr("Histoloom viewer"));
    resize(1280, 860);
    view_.setScene(&scene_);
    setCentralWidget(&view_);
    QMenu *file = menuBar()->addMenu(tr("File"));
    file->addAction(tr("Open slide..."), QKeySequence::Open, this, &Window::choose_slide);
    file->addAction(tr("Close slide"), QKeySequence::Close, this, &Window::close_slide);
    file->addAction(tr("Quit"), QKeySequence::Quit, this, &QWidget::close);
    QMenu *plugin = menuBar()->addMenu(tr("Plugin"));
    plugin->addMenu(controller_.menu());
    auto *dock = new QDockWidget(tr("Histoloom"), this);
    dock->setWidget(controller_.panel());
    dock->setFeatures(QDockWidget::DockWidgetMovable | QDockWidget::DockWidgetFloatable);
    addDockWidget(Qt::RightDockWidgetArea, dock);
    resizeDocks({dock}, {370}, Qt::Horizontal);
}

Window::~Window() {
    close_slide();
    takeCentralWidget();
}

void Window::choose_slide() {
    const QString file = QFileDialog::getOpenFileName(this, tr("Open slide"));
    if (!file.isEmpty()) open_slide(file);
}

bool Window::open_slide(const QString &file) {
    try {
        const auto source = std::make_shared<OpenSlideSource>(file);
        close_slide();
        slide_ = new TiledItem(source->width, source->height, TiledItem::Pixels::Smooth);
        slide_->show([source](qint64 x, qint64 y, double downsample, int w, int h) { return source->region(x, y, downsample, w, h); });
        scene_.addItem(slide_);
        view_.fit(slide_->boundingRect(), source->mpp);
        setWindowTitle(tr("Histoloom viewer: %1").arg(source->name));
        controller_.slide_opened(source, &scene_, 1.0);
        return true;
    } catch (const std::exception &error) {
        auto *box = new QMessageBox(QMessageBox::Warning, tr("Slide not opened"), tr("Slide not opened"), QMessageBox::Ok, this);
        box->setInformativeText(QString("%1\n%2").arg(file, error.what()));
        box->setAttribute(Qt::WA_DeleteOnClose);
        box->open();
        return false;
    }
}

void Window::close_slide() {
    controller_.slide_closed();
    delete slide_;
    slide_ = nullptr;
    setWindowTitle(tr("Histoloom viewer"));
}

}  // namespace histoloom
